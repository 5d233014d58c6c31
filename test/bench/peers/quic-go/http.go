// The workloads over HTTP/3: see test/bench/engine/http.ts.
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

func handle(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		fmt.Fprint(w, drain(r.Body, make([]byte, chunk)))
		return
	}
	path := r.URL.Path
	length, err := strconv.ParseInt(path[strings.LastIndex(path, "/")+1:], 10, 64)
	if err != nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "application/octet-stream")
	header.Set("Content-Length", strconv.FormatInt(length, 10))
	if strings.HasPrefix(path, "/fields/") {
		header.Set("X-Fields", strconv.Itoa(len(r.Header)))
	}
	send(w, length)
}

func runHTTPServer(s spec) {
	certificate, err := tls.LoadX509KeyPair(s.Cert, s.Key)
	check(err)
	conf := tlsConfig()
	conf.Certificates = []tls.Certificate{certificate}
	server := &http3.Server{Handler: http.HandlerFunc(handle)}
	t := transport()
	listener, err := t.ListenEarly(http3.ConfigureTLSConfig(conf), config(s))
	check(err)
	go func() { check(server.ServeListener(listener)) }()
	answer(t)
}

// What is in use after a collection: Go's heap and stacks.
func memoryInUse() object {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return object{"heap": stats.HeapAlloc + stats.StackInuse, "external": 0, "malloc": nil}
}

func runHTTPClient(s spec) {
	conf := clientTLS(s)
	conf.NextProtos = []string{http3.NextProtoH3}
	t := transport()
	h := &http3.Transport{DisableCompression: true}
	dial := func() (*http3.ClientConn, *quic.Conn) {
		conn, err := t.Dial(context.Background(), address(s), conf, config(s))
		check(err)
		return h.NewClientConn(conn), conn
	}
	w := s.Workload
	origin := fmt.Sprintf("https://localhost:%d", s.Port)
	if w.Kind == "http-idle" {
		httpIdle(dial, origin, w)
		return
	}
	client, conn := dial()
	m := newMeter(w)
	switch w.Kind {
	case "http-requests":
		httpRequests(client, origin, w, m)
	case "http-download":
		body := get(client, fmt.Sprintf("%s/%d", origin, w.Bytes), nil)
		download(body, m, w.Bytes)
		body.Close()
	case "http-upload":
		httpUpload(client, origin, w, m)
	default:
		check(fmt.Errorf("no workload is called %s", w.Kind))
	}
	m.report(conn.ConnectionState())
	conn.CloseWithError(0, "")
}

func get(client *http3.ClientConn, url string, header http.Header) io.ReadCloser {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	check(err)
	if header != nil {
		request.Header = header
	}
	response, err := client.RoundTrip(request)
	check(err)
	if response.StatusCode != http.StatusOK {
		check(fmt.Errorf("the status is %s", response.Status))
	}
	return response.Body
}

// As many fields as the workload wants: most say the same each time, four do not.
func fields(count int, request int64) http.Header {
	header := make(http.Header, count)
	for i := range count - 4 {
		header.Set(fmt.Sprintf("X-Field-%d", i), fmt.Sprintf("value %d of a length that fields have", i))
	}
	n := fmt.Sprintf("%016x", request)
	header.Set("X-Request-Id", n)
	header.Set("Traceparent", fmt.Sprintf("00-%s%s-%s-01", n, n, n))
	header.Set("Cookie", "session="+n)
	header.Set("If-None-Match", `"`+n+`"`)
	return header
}

func httpRequests(client *http3.ClientConn, origin string, w workload, m *meter) {
	url := fmt.Sprintf("%s/%d", origin, w.Size)
	if w.Fields > 0 {
		url = fmt.Sprintf("%s/fields/%d", origin, w.Size)
	}
	var group sync.WaitGroup
	for range w.Concurrency {
		group.Go(func() {
			buffer := make([]byte, max(1, w.Size))
			for n := int64(0); !m.over(); n++ {
				var header http.Header
				if w.Fields > 0 {
					header = fields(w.Fields, n)
				}
				body := get(client, url, header)
				m.bytes.Add(drain(body, buffer))
				body.Close()
				m.operations.Add(1)
			}
		})
	}
	group.Wait()
}

func httpUpload(client *http3.ClientConn, origin string, w workload, m *meter) {
	reader, writer := io.Pipe()
	go func() {
		for sent := int64(0); sent < w.Bytes; sent += chunk {
			n, err := writer.Write(zeros[:min(w.Bytes-sent, chunk)])
			check(err)
			m.bytes.Add(int64(n))
			if sent >= w.Bytes/10 {
				m.begin()
			}
		}
		writer.Close()
	}()
	request, err := http.NewRequest(http.MethodPost, origin+"/", reader)
	check(err)
	response, err := client.RoundTrip(request)
	check(err)
	got, err := io.ReadAll(response.Body)
	check(err)
	if string(got) != strconv.FormatInt(w.Bytes, 10) {
		check(fmt.Errorf("%s bytes came of %d", got, w.Bytes))
	}
}

func httpIdle(dial func() (*http3.ClientConn, *quic.Conn), origin string, w workload) {
	var last *quic.Conn
	opened := 0
	for _, wanted := range []int{w.Connections / 10, w.Connections} {
		var group sync.WaitGroup
		var lock sync.Mutex
		for range 16 {
			group.Go(func() {
				for {
					lock.Lock()
					mine := opened < wanted
					opened++
					lock.Unlock()
					if !mine {
						return
					}
					client, conn := dial()
					body := get(client, fmt.Sprintf("%s/%d", origin, w.Size), nil)
					drain(body, make([]byte, w.Size))
					body.Close()
					lock.Lock()
					last = conn
					lock.Unlock()
				}
			})
		}
		group.Wait()
		opened = wanted
		say(object{"opened": true})
		line()
	}
	m := newMeter(w)
	m.begin()
	m.operations.Store(int64(opened))
	m.report(last.ConnectionState())
}
