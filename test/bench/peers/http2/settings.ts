// What node:http2 is measured with.

export const TLS = { minVersion: "TLSv1.3", ciphers: "TLS_AES_128_GCM_SHA256", ecdhCurve: "X25519" } as const;
// The windows QUIC implementations grow to: http2's defaults of 64 KiB would be another comparison.
export const WINDOW = 6 * 1024 * 1024;
export const CONNECTION_WINDOW = 15 * 1024 * 1024;
