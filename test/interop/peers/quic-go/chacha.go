package main

import (
	"crypto/tls"
	_ "unsafe" // for go:linkname
)

// crypto/tls has no setting for the suites of TLS 1.3. These two lists are open to quic-go's interop programs by
// agreement with the Go project (go.dev/issue/67401), so they are open to this one.

//go:linkname suites crypto/tls.defaultCipherSuitesTLS13
var suites []uint16

//go:linkname suitesNoAES crypto/tls.defaultCipherSuitesTLS13NoAES
var suitesNoAES []uint16

func chachaOnly() {
	suites = []uint16{tls.TLS_CHACHA20_POLY1305_SHA256}
	suitesNoAES = []uint16{tls.TLS_CHACHA20_POLY1305_SHA256}
}
