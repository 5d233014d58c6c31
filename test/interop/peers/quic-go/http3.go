// The HTTP/3 cases: files by GET; "http3post" sends each file back to /echo, with its length in a trailer both ways.
package main

import (
	"bytes"
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

func serveHTTP3(socket net.PacketConn, tlsConf *tls.Config, conf *quic.Config) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", trailer)
		if _, err := io.Copy(w, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set(trailer, r.Trailer.Get(trailer))
	})
	mux.Handle("GET /", http.FileServer(http.Dir(env("WWW", "/www"))))
	server := &http3.Server{Handler: mux, TLSConfig: http3.ConfigureTLSConfig(tlsConf), QUICConfig: conf}
	fmt.Println("listening")
	return server.Serve(socket)
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
	response, err := client.Get(request)
	if err != nil {
		return err
	}
	if response.StatusCode != 200 {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	defer response.Body.Close()
	file, err := os.Create(filepath.Join(env("DOWNLOADS", "/downloads"), filepath.Base(parsed.Path)))
	if err != nil {
		return err
	}
	defer file.Close()
	if testcase != "http3post" {
		_, err = io.Copy(file, response.Body)
		return err
	}
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	parsed.Path = "/echo"
	length := strconv.Itoa(len(content))
	// Of unknown length, so that it goes out as it is read.
	post, err := http.NewRequest("POST", parsed.String(), io.MultiReader(bytes.NewReader(content)))
	if err != nil {
		return err
	}
	post.Trailer = http.Header{trailer: {length}}
	echo, err := client.Do(post)
	if err != nil {
		return err
	}
	defer echo.Body.Close()
	if _, err := io.Copy(file, echo.Body); err != nil {
		return err
	}
	if got := echo.Trailer.Get(trailer); got != length {
		return errors.New("the trailer says " + got + " in place of " + length)
	}
	return nil
}
