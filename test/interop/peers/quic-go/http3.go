// The HTTP/3 cases: files by GET; "http3post" and "http3trailers" send each file to /echo/NAME and want it back, the latter with its
// length in a trailer both ways; "http3upload" puts it to /upload/NAME, where the server keeps it; "http3goaway" has the server go
// away as it answers.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

const trailer = "X-Length"

func serveHTTP3(testcase string, socket net.PacketConn, tlsConf *tls.Config, conf *quic.Config) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /echo/", func(w http.ResponseWriter, r *http.Request) {
		if testcase == "http3trailers" {
			w.Header().Set("Trailer", trailer)
		}
		if _, err := io.Copy(w, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		if testcase == "http3trailers" {
			w.Header().Set(trailer, r.Trailer.Get(trailer))
		}
	})
	mux.HandleFunc("PUT /upload/", func(w http.ResponseWriter, r *http.Request) {
		file, err := os.Create(filepath.Join(env("UPLOADS", "/uploads"), filepath.Base(r.URL.Path)))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer file.Close()
		if _, err := io.Copy(file, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusCreated)
	})
	mux.Handle("GET /", http.FileServer(http.Dir(env("WWW", "/www"))))
	transport := &quic.Transport{
		Conn:                socket,
		VerifySourceAddress: func(net.Addr) bool { return testcase == "http3retry" },
	}
	listener, err := transport.ListenEarly(http3.ConfigureTLSConfig(tlsConf), conf)
	if err != nil {
		return err
	}
	fmt.Println("listening")
	if testcase != "http3goaway" {
		return (&http3.Server{Handler: mux}).ServeListener(listener)
	}
	for { // GOAWAY is said by a server as a whole: one for each connection.
		conn, err := listener.Accept(context.Background())
		if err != nil {
			return err
		}
		server := &http3.Server{}
		server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			go server.Shutdown(context.Background())
			mux.ServeHTTP(w, r)
		})
		go server.ServeQUICConn(conn)
	}
}

func fetchHTTP3(testcase string, requests []string, tlsConf *tls.Config, conf *quic.Config) error {
	transport := &http3.Transport{TLSClientConfig: tlsConf, QUICConfig: conf}
	defer transport.Close()
	client := &http.Client{Transport: transport}
	if testcase == "http3goaway" { // One after the other: the server goes away after each.
		for _, request := range requests {
			if err := fetchOne(client, testcase, request); err != nil {
				return err
			}
		}
		return nil
	}
	var wait sync.WaitGroup
	failures := make(chan error, len(requests))
	for _, request := range requests {
		wait.Add(1)
		go func() {
			defer wait.Done()
			if err := fetchOne(client, testcase, request); err != nil {
				failures <- fmt.Errorf("%s: %w", request, err)
			}
		}()
	}
	wait.Wait()
	select {
	case err := <-failures:
		return err
	default:
		return nil
	}
}

func fetchOne(client *http.Client, testcase, request string) error {
	parsed, err := url.Parse(request)
	if err != nil {
		return err
	}
	name := filepath.Base(parsed.Path)
	source, err := os.Open(filepath.Join(env("WWW", "/www"), name))
	if err != nil {
		return err
	}
	defer source.Close()
	// Bodies of a length that is not told, so that they go out as they are read.
	body := io.MultiReader(source)
	method := "GET"
	switch testcase {
	case "http3post", "http3trailers":
		method, parsed.Path = "POST", "/echo/"+name
	case "http3upload":
		method, parsed.Path = "PUT", "/upload/"+name
	default:
		body = nil
	}
	message, err := http.NewRequest(method, parsed.String(), body)
	if err != nil {
		return err
	}
	length := ""
	if testcase == "http3trailers" {
		info, err := source.Stat()
		if err != nil {
			return err
		}
		length = strconv.FormatInt(info.Size(), 10)
		message.Trailer = http.Header{trailer: {length}}
	}
	response, err := client.Do(message)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != 200 && response.StatusCode != 201 {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	if testcase == "http3upload" {
		return nil
	}
	file, err := os.Create(filepath.Join(env("DOWNLOADS", "/downloads"), name))
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := io.Copy(file, response.Body); err != nil {
		return err
	}
	if got := response.Trailer.Get(trailer); got != length {
		return errors.New("the trailer says " + got + " in place of " + length)
	}
	return nil
}
