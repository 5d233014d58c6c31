// quic-go as a peer of the benchmarks: speaks the lines and the workloads of test/bench/engine/spec.ts.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/quic-go/quic-go"
)

const (
	alpn       = "bench"
	chunk      = 256 * 1024
	maxStreams = 1000
)

type workload struct {
	Kind        string
	Bytes       int64
	Concurrency int
	Size        int
	Seconds     float64
	Warmup      float64
	Resumed     bool
	Connections int
	Fields      int
}

type spec struct {
	Role, Cert, Key, Ca string
	Port                int
	Datagram            int
	Workload            workload
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "quic-go:", err)
		os.Exit(1)
	}
}

func say(value any) {
	line, err := json.Marshal(value)
	check(err)
	fmt.Println(string(line))
}

type object = map[string]any

func cpu() float64 {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

// Resident bytes now, where /proc says; otherwise the most there ever were.
func rss() int64 {
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
		check(err)
		return pages * int64(os.Getpagesize())
	}
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return int64(usage.Maxrss)
}

func config(s spec) *quic.Config {
	idle := time.Duration(0) // The default.
	if s.Workload.Kind == "http-idle" {
		// Thousands of connections wait for their turn.
		idle = time.Hour
	}
	return &quic.Config{
		MaxIdleTimeout:          idle,
		InitialPacketSize:       uint16(s.Datagram),
		DisablePathMTUDiscovery: true,
		MaxIncomingStreams:      maxStreams,
		EnableDatagrams:         s.Workload.Kind == "datagrams",
	}
}

// Go picks AES-128-GCM by itself where the hardware has AES; TLS 1.3 suites cannot be chosen.
func tlsConfig() *tls.Config {
	return &tls.Config{
		NextProtos:       []string{alpn},
		MinVersion:       tls.VersionTLS13,
		CurvePreferences: []tls.CurveID{tls.X25519},
	}
}

func transport() *quic.Transport {
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	check(err)
	// As ours asks for.
	check(socket.SetReadBuffer(4 << 20))
	check(socket.SetWriteBuffer(4 << 20))
	return &quic.Transport{Conn: socket}
}

func main() {
	var s spec
	check(json.Unmarshal([]byte(os.Args[1]), &s))
	http := strings.HasPrefix(s.Workload.Kind, "http-")
	switch {
	case s.Role == "server" && http:
		runHTTPServer(s)
	case s.Role == "server":
		runServer(s)
	case http:
		runHTTPClient(s)
	default:
		runClient(s)
	}
}

// Server

func runServer(s spec) {
	certificate, err := tls.LoadX509KeyPair(s.Cert, s.Key)
	check(err)
	conf := tlsConfig()
	conf.Certificates = []tls.Certificate{certificate}
	t := transport()
	listener, err := t.Listen(conf, config(s))
	check(err)
	go func() {
		for {
			conn, err := listener.Accept(context.Background())
			check(err)
			go accept(conn, s)
		}
	}()
	answer(t)
}

// Says that it listens, and answers lines on stdin until that ends.
func answer(t *quic.Transport) {
	say(object{"listening": t.Conn.LocalAddr().(*net.UDPAddr).Port})
	for input.Scan() {
		usage := object{"cpu": cpu(), "rss": rss()}
		if input.Text() == "gc" {
			usage["memory"] = memoryInUse()
		}
		say(object{"usage": usage})
	}
}

var input = bufio.NewScanner(os.Stdin)

// The next line on stdin.
func line() {
	input.Scan()
}

func accept(conn *quic.Conn, s spec) {
	var datagrams atomic.Int64
	if s.Workload.Kind == "datagrams" {
		go func() {
			for {
				if _, err := conn.ReceiveDatagram(context.Background()); err != nil {
					return
				}
				datagrams.Add(1)
			}
		}()
	}
	for {
		stream, err := conn.AcceptStream(context.Background())
		if err != nil {
			return
		}
		go serve(stream, &datagrams)
	}
}

var zeros = make([]byte, chunk)

func send(stream io.Writer, length int64) error {
	for left := length; left > 0; left -= chunk {
		if _, err := stream.Write(zeros[:min(left, chunk)]); err != nil {
			return err
		}
	}
	return nil
}

func drain(stream io.Reader, buffer []byte) int64 {
	var got int64
	for {
		n, err := stream.Read(buffer)
		got += int64(n)
		if err != nil {
			return got
		}
	}
}

func eight(value int64) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(value))
}

func serve(stream *quic.Stream, datagrams *atomic.Int64) {
	header := make([]byte, 9)
	for {
		if _, err := io.ReadFull(stream, header); err != nil {
			stream.Close()
			return
		}
		length := int64(binary.BigEndian.Uint64(header[1:]))
		switch header[0] {
		case 'D':
			if send(stream, length) == nil {
				stream.Close()
				drain(stream, header)
			}
			return
		case 'U':
			stream.Write(eight(drain(stream, make([]byte, chunk))))
			stream.Close()
			return
		case 'B':
			done := make(chan struct{})
			go func() {
				drain(stream, make([]byte, chunk))
				close(done)
			}()
			if send(stream, length) == nil {
				stream.Close()
				<-done
			}
			return
		case 'R':
			if send(stream, length) != nil {
				return
			}
		case 'C':
			stream.Write(eight(datagrams.Load()))
			stream.Close()
			drain(stream, header)
			return
		}
	}
}

// Client

// Clock and counters of one measurement.
type meter struct {
	once          sync.Once
	began         atomic.Bool
	begun         time.Time
	warmAt, endAt time.Time
	cpu           float64
	operations    atomic.Int64
	bytes         atomic.Int64
}

func newMeter(w workload) *meter {
	m := &meter{warmAt: time.Now().Add(time.Duration(w.Warmup * float64(time.Second)))}
	m.endAt = m.warmAt.Add(time.Duration(w.Seconds * float64(time.Second)))
	return m
}

func (m *meter) begin() {
	m.once.Do(func() {
		say(object{"begin": true})
		m.operations.Store(0)
		m.bytes.Store(0)
		m.cpu = cpu()
		m.begun = time.Now()
		m.began.Store(true)
	})
}

func (m *meter) over() bool {
	now := time.Now()
	if !m.began.Load() && now.After(m.warmAt) {
		m.begin()
	}
	return now.After(m.endAt)
}

func (m *meter) report(state quic.ConnectionState) {
	say(object{"result": object{
		"operations": m.operations.Load(),
		"bytes":      m.bytes.Load(),
		"seconds":    time.Since(m.begun).Seconds(),
		"cpu":        cpu() - m.cpu,
		"rss":        rss(),
		"info": object{
			"cipher":    tls.CipherSuiteName(state.TLS.CipherSuite),
			"group":     state.TLS.CurveID.String(),
			"gso":       state.GSO,
			"didResume": state.TLS.DidResume,
		},
	}})
}

func request(op byte, length int64) []byte {
	return append([]byte{op}, eight(length)...)
}

func open(conn *quic.Conn, op byte, length int64) *quic.Stream {
	stream, err := conn.OpenStreamSync(context.Background())
	check(err)
	_, err = stream.Write(request(op, length))
	check(err)
	return stream
}

func upload(stream *quic.Stream, m *meter, bytes int64) {
	for sent := int64(0); sent < bytes; sent += chunk {
		n, err := stream.Write(zeros[:min(bytes-sent, chunk)])
		check(err)
		m.bytes.Add(int64(n))
		if sent >= bytes/10 {
			m.begin()
		}
	}
	stream.Close()
}

func download(stream io.Reader, m *meter, bytes int64) {
	buffer := make([]byte, chunk)
	for got := int64(0); ; {
		n, err := stream.Read(buffer)
		got += int64(n)
		m.bytes.Add(int64(n))
		if got >= bytes/10 {
			m.begin()
		}
		if err == io.EOF {
			return
		}
		check(err)
	}
}

func clientTLS(s spec) *tls.Config {
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(s.Ca)
	check(err)
	roots.AppendCertsFromPEM(pem)
	conf := tlsConfig()
	conf.RootCAs = roots
	conf.ServerName = "localhost"
	return conf
}

func address(s spec) *net.UDPAddr {
	return &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: s.Port}
}

func runClient(s spec) {
	conf := clientTLS(s)
	t := transport()
	dial := func() *quic.Conn {
		conn, err := t.Dial(context.Background(), address(s), conf, config(s))
		check(err)
		return conn
	}
	w := s.Workload
	if w.Resumed {
		conf.ClientSessionCache = tls.NewLRUClientSessionCache(16)
	}
	if w.Kind == "handshakes" {
		m := newMeter(w)
		var state quic.ConnectionState
		for !m.over() {
			conn := dial()
			m.operations.Add(1)
			state = conn.ConnectionState()
			if w.Resumed {
				// The ticket is there with the answer.
				stream := open(conn, 'D', 1)
				stream.Close()
				drain(stream, make([]byte, 8))
			}
			conn.CloseWithError(0, "")
		}
		m.report(state)
		return
	}
	conn := dial()
	m := newMeter(w)
	switch w.Kind {
	case "download":
		stream := open(conn, 'D', w.Bytes)
		stream.Close()
		download(stream, m, w.Bytes)
	case "upload":
		stream := open(conn, 'U', 0)
		upload(stream, m, w.Bytes)
		drain(stream, make([]byte, 8))
	case "duplex":
		stream := open(conn, 'B', w.Bytes)
		done := make(chan struct{})
		go func() {
			upload(stream, m, w.Bytes)
			close(done)
		}()
		download(stream, m, w.Bytes)
		<-done
	case "requests":
		requests(conn, w, m)
	case "one-stream":
		oneStream(conn, w, m)
	case "messages":
		messages(conn, w, m)
	case "datagrams":
		datagrams(conn, w, m)
	default:
		check(fmt.Errorf("no workload is called %s", w.Kind))
	}
	m.report(conn.ConnectionState())
	conn.CloseWithError(0, "")
}

func requests(conn *quic.Conn, w workload, m *meter) {
	var group sync.WaitGroup
	for range w.Concurrency {
		group.Go(func() {
			buffer := make([]byte, max(1, w.Size))
			for !m.over() {
				stream := open(conn, 'D', int64(w.Size))
				stream.Close()
				m.bytes.Add(drain(stream, buffer))
				m.operations.Add(1)
			}
		})
	}
	group.Wait()
}

func oneStream(conn *quic.Conn, w workload, m *meter) {
	stream, err := conn.OpenStreamSync(context.Background())
	check(err)
	header := request('R', int64(w.Size))
	buffer := make([]byte, w.Size)
	for !m.over() {
		_, err := stream.Write(header)
		check(err)
		_, err = io.ReadFull(stream, buffer)
		check(err)
		m.operations.Add(1)
		m.bytes.Add(int64(w.Size))
	}
	stream.Close()
}

func messages(conn *quic.Conn, w workload, m *meter) {
	stream := open(conn, 'U', 0)
	message := make([]byte, w.Size)
	for !m.over() {
		for range 64 {
			_, err := stream.Write(message)
			check(err)
		}
		m.operations.Add(64)
		m.bytes.Add(int64(64 * w.Size))
	}
	stream.Close()
	drain(stream, make([]byte, 8))
}

func counted(conn *quic.Conn) int64 {
	stream := open(conn, 'C', 0)
	stream.Close()
	answer, err := io.ReadAll(stream)
	check(err)
	return int64(binary.BigEndian.Uint64(answer))
}

// Counts those that arrived.
func datagrams(conn *quic.Conn, w workload, m *meter) {
	payload := make([]byte, w.Size)
	before := int64(-1)
	for !m.over() {
		if m.began.Load() && before < 0 {
			before = counted(conn)
		}
		for range 16 {
			check(conn.SendDatagram(payload))
		}
	}
	m.operations.Store(counted(conn) - before)
	m.bytes.Store(m.operations.Load() * int64(w.Size))
}
