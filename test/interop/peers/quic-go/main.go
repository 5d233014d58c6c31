// A client and a server over quic-go that keep the interop runner's contract: HTTP/0.9 over QUIC ("hq-interop"),
// driven by the environment.
//
//	ROLE           client or server
//	TESTCASE       the runner's name; unknown ones end with exit code 127
//	REQUESTS       URLs to fetch, separated by spaces (client)
//	SSLKEYLOGFILE  file for TLS secrets
//	QLOGDIR        folder for qlog files
//	WWW, DOWNLOADS, UPLOADS, CERTS   folders, by default /www, /downloads, /uploads, /certs (cert.pem, priv.key, ca.pem)
//	LISTEN, PORT   where the server listens, by default :: and 443
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/qlog"
)

const alpn = "hq-interop"

// A client that is to move does so when it has received that much.
const moveAfter = 500_000

// Unsupported is what the runner takes for "this implementation does not do that".
const unsupported = 127

func env(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "error:", err)
	os.Exit(1)
}

func main() {
	testcase := os.Getenv("TESTCASE")
	role := os.Getenv("ROLE")
	switch testcase {
	case "handshake", "transfer", "longrtt", "multiplexing", "blackhole", "amplificationlimit", "handshakeloss",
		"handshakecorruption", "transferloss", "transfercorruption", "ipv6", "multiconnect", "retry", "resumption",
		"zerortt", "v2", "versionnegotiation", "connectionmigration", "rebind-port", "rebind-addr", "http3", "http3post",
		"http3trailers", "http3upload", "http3retry", "http3goaway", "ecn":
	case "keyupdate", "http3keyupdate": // quic-go updates its keys after 100 packets, with or without being asked.
	case "chacha20":
		chachaOnly()
	default:
		fmt.Println("unsupported test case:", testcase)
		os.Exit(unsupported)
	}
	conf := &quic.Config{
		// A third of all packets is lost in some cases: what the path does is not to be mistaken for a dead peer.
		HandshakeIdleTimeout: 30 * time.Second,
		MaxIdleTimeout:       30 * time.Second,
		Allow0RTT:            testcase == "zerortt",
	}
	if os.Getenv("QLOGDIR") != "" {
		conf.Tracer = qlog.DefaultConnectionTracer
	}
	if testcase == "v2" {
		conf.Versions = []quic.Version{quic.Version2, quic.Version1}
		if role == "client" { // The runner's client begins with version 1; compatible negotiation is the server's part.
			conf.Versions = []quic.Version{quic.Version1, quic.Version2}
		}
	}
	if testcase == "versionnegotiation" {
		conf.Versions = []quic.Version{quic.Version1}
		if role == "client" { // quic-go dials with versions it knows alone: one that the server does not speak.
			conf.Versions = []quic.Version{quic.Version2, quic.Version1}
		}
	}
	tlsConf := &tls.Config{NextProtos: []string{alpn}, MinVersion: tls.VersionTLS13}
	if path := os.Getenv("SSLKEYLOGFILE"); path != "" {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			fail(err)
		}
		tlsConf.KeyLogWriter = file
	}
	switch role {
	case "client":
		if err := runClient(testcase, tlsConf, conf); err != nil {
			fail(err)
		}
	case "server":
		if err := runServer(testcase, tlsConf, conf); err != nil {
			fail(err)
		}
	default:
		fail(errors.New("ROLE must be client or server"))
	}
}

func runServer(testcase string, tlsConf *tls.Config, conf *quic.Config) error {
	certs := env("CERTS", "/certs")
	cert, err := tls.LoadX509KeyPair(filepath.Join(certs, "cert.pem"), filepath.Join(certs, "priv.key"))
	if err != nil {
		return err
	}
	tlsConf.Certificates = []tls.Certificate{cert}
	address, err := net.ResolveUDPAddr("udp", net.JoinHostPort(env("LISTEN", "::"), env("PORT", "443")))
	if err != nil {
		return err
	}
	socket, err := net.ListenUDP("udp", address)
	if err != nil {
		return err
	}
	if strings.HasPrefix(testcase, "http3") {
		return serveHTTP3(testcase, socket, tlsConf, conf)
	}
	transport := &quic.Transport{
		Conn:                socket,
		VerifySourceAddress: func(net.Addr) bool { return testcase == "retry" },
	}
	listener, err := transport.ListenEarly(tlsConf, conf)
	if err != nil {
		return err
	}
	fmt.Println("listening")
	www := env("WWW", "/www")
	for {
		conn, err := listener.Accept(context.Background())
		if err != nil {
			return err
		}
		go func() {
			for {
				stream, err := conn.AcceptStream(context.Background())
				if err != nil {
					fmt.Fprintln(os.Stderr, "connection:", err)
					return
				}
				go serve(stream, www)
			}
		}()
	}
}

func serve(stream *quic.Stream, www string) {
	request, err := io.ReadAll(io.LimitReader(stream, 4096))
	if err != nil {
		return
	}
	line := strings.TrimSpace(string(request))
	path, ok := strings.CutPrefix(line, "GET /")
	if !ok {
		stream.CancelWrite(1)
		return
	}
	file, err := os.Open(filepath.Join(www, filepath.Clean("/"+path)))
	if err != nil {
		fmt.Fprintln(os.Stderr, "request:", err)
		stream.CancelWrite(2)
		return
	}
	defer file.Close()
	if _, err := io.Copy(stream, file); err != nil {
		stream.CancelWrite(3)
		return
	}
	stream.Close()
}

type tickets struct {
	tls.ClientSessionCache
	arrived chan struct{}
}

func (t *tickets) Put(key string, state *tls.ClientSessionState) {
	t.ClientSessionCache.Put(key, state)
	select {
	case t.arrived <- struct{}{}:
	default:
	}
}

func runClient(testcase string, tlsConf *tls.Config, conf *quic.Config) error {
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(filepath.Join(env("CERTS", "/certs"), "ca.pem"))
	if err != nil || !roots.AppendCertsFromPEM(pem) {
		return fmt.Errorf("no usable ca.pem: %w", err)
	}
	tlsConf.RootCAs = roots
	requests := strings.Fields(os.Getenv("REQUESTS"))
	if len(requests) == 0 {
		return errors.New("REQUESTS is empty")
	}
	if strings.HasPrefix(testcase, "http3") {
		return fetchHTTP3(testcase, requests, tlsConf, conf)
	}
	switch testcase {
	case "multiconnect", "handshakeloss", "handshakecorruption":
		for _, request := range requests {
			if err := fetchAll([]string{request}, tlsConf, conf, false); err != nil {
				return err
			}
		}
		return nil
	case "resumption", "zerortt":
		cache := &tickets{tls.NewLRUClientSessionCache(4), make(chan struct{}, 1)}
		tlsConf.ClientSessionCache = cache
		if err := fetchAll(requests[:1], tlsConf, conf, false); err != nil {
			return err
		}
		select {
		case <-cache.arrived:
		case <-time.After(10 * time.Second):
			return errors.New("no session ticket within 10 seconds")
		}
		return fetchAll(requests[1:], tlsConf, conf, testcase == "zerortt")
	}
	return fetchAll(requests, tlsConf, conf, false)
}

// fetchAll fetches everything over one connection.
func fetchAll(requests []string, tlsConf *tls.Config, conf *quic.Config, early bool) error {
	first, err := url.Parse(requests[0])
	if err != nil {
		return err
	}
	begun := time.Now()
	dial := quic.DialAddr
	if early {
		dial = quic.DialAddrEarly
	}
	if os.Getenv("TESTCASE") == "connectionmigration" {
		dial = dialToMove
	}
	conn, err := dial(context.Background(), first.Host, tlsConf, conf)
	if err != nil {
		return err
	}
	state := conn.ConnectionState()
	fmt.Printf("{\"handshakeMs\":%d,\"cipher\":%q,\"resumed\":%t}\n",
		time.Since(begun).Milliseconds(), tls.CipherSuiteName(state.TLS.CipherSuite), state.TLS.DidResume)
	var wait sync.WaitGroup
	failures := make(chan error, len(requests))
	for _, request := range requests {
		wait.Add(1)
		go func() {
			defer wait.Done()
			if err := fetch(conn, request); err != nil {
				failures <- fmt.Errorf("%s: %w", request, err)
			}
		}()
	}
	wait.Wait()
	select {
	case err := <-failures:
		conn.CloseWithError(1, "")
		return err
	default:
	}
	return conn.CloseWithError(0, "")
}

func fetch(conn *quic.Conn, request string) error {
	parsed, err := url.Parse(request)
	if err != nil {
		return err
	}
	stream, err := conn.OpenStreamSync(context.Background())
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(stream, "GET %s\r\n", parsed.Path); err != nil {
		return err
	}
	if err := stream.Close(); err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(env("DOWNLOADS", "/downloads"), filepath.Base(parsed.Path)))
	if err != nil {
		return err
	}
	defer file.Close()
	if os.Getenv("TESTCASE") == "connectionmigration" {
		if _, err = io.CopyN(file, stream, moveAfter); err != nil {
			return err
		}
		if err = move(conn); err != nil {
			return err
		}
	}
	_, err = io.Copy(file, stream)
	return err
}

// dialToMove gives the connection IDs: DialAddr has it do without, and nothing finds it on another socket then.
func dialToMove(ctx context.Context, address string, tlsConf *tls.Config, conf *quic.Config) (*quic.Conn, error) {
	remote, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, err
	}
	socket, err := net.ListenUDP("udp", nil)
	if err != nil {
		return nil, err
	}
	tlsConf.ServerName = remote.IP.String()
	return (&quic.Transport{Conn: socket}).Dial(ctx, remote, tlsConf, conf)
}

// move takes the connection to another socket, once that is known to work.
func move(conn *quic.Conn) error {
	socket, err := net.ListenUDP("udp", nil)
	if err != nil {
		return err
	}
	path, err := conn.AddPath(&quic.Transport{Conn: socket})
	if err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := path.Probe(limit); err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	return path.Switch()
}
