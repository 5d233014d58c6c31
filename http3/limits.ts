// Every limit of HTTP/3: its default, the reason for the figure, and the attack it stops. Sizes are bytes.

/** Dynamic table the peer's encoder may use with us (SETTINGS_QPACK_MAX_TABLE_CAPACITY): the figure HPACK began with, enough for what a page's requests share. Stops: memory by table entries. */
export const QPACK_TABLE_CAPACITY = 4096;

/** Streams that may wait for the peer's encoder stream (SETTINGS_QPACK_BLOCKED_STREAMS): as many as it may open by default. Stops: memory by sections that never become readable. */
export const QPACK_BLOCKED_STREAMS = 100;

/** Table we use at the peer's decoder, however much it offers. Stops: a peer that makes us remember its fields. */
export const QPACK_ENCODER_TABLE_CAPACITY = 16384;

/** Encoder instructions waiting to be sent; beyond this nothing is inserted. A few tables' worth. Stops: memory by a peer that gives the encoder stream no credit. */
export const QPACK_ENCODER_STREAM_BUFFER = 65536;

/** Decoder instructions waiting to be sent, 1 to 10 bytes each. Stops: memory by a peer that sends sections and gives the decoder stream no credit. */
export const QPACK_DECODER_STREAM_BUFFER = 65536;

/** Sections whose acknowledgement is outstanding; beyond this the encoder references the static table alone. Stops: memory by a peer that never acknowledges. */
export const QPACK_UNACKNOWLEDGED_SECTIONS = 4096;

/** Names for which the encoder remembers the last value to see whether it repeats. Stops: memory by ever new field names. */
export const QPACK_POLICY_NAMES = 128;

/** Size of a field section we accept (SETTINGS_MAX_FIELD_SECTION_SIZE), names and values and 32 bytes a field, rfc9114#4.2.2: what common servers accept. Stops: a compressed section that expands without end. */
export const FIELD_SECTION_SIZE = 65536;

/** A SETTINGS frame. Eight bytes each make two thousand settings; no one has twenty. Stops: memory and time by settings that mean nothing. */
export const SETTINGS_FRAME_SIZE = 16384;

/** Any other frame on the control stream: an ORIGIN frame with hundreds of origins. Stops: memory by frames that are gathered whole. */
export const CONTROL_FRAME_SIZE = 16384;

/** Frames in a row that are empty, unknown or reserved. Padding takes some; a flood of two-byte frames is work for nothing. Stops: frame floods, rfc9114#10.5. */
export const IDLE_FRAMES = 1000;

/** A capsule other than those that are passed through: a datagram over a stream can be as large as one in UDP. Stops: memory by capsules that never end. */
export const CAPSULE_SIZE = 65536;

/** Interim responses before the final one. A few early hints are usual. Stops: memory and time by 1xx without end. */
export const INTERIM_RESPONSES = 100;

/** Requests that a client may give up before they are answered: so many at once and so many a second, twice that while most are answered. What browsers cancel when a page is left is far below. Stops: rapid resets, CVE-2023-44487: requests that cost the server work and the client nothing, as each reset makes room for the next. */
export const RESET_BURST = 1000;
export const RESETS_PER_SECOND = 33;

/** Unidirectional streams that are none of ours, the same way: so many at once and so many a second. Reserved ones are sent to be ignored, one or two a connection. Stops: floods of streams that say nothing. */
export const UNKNOWN_STREAM_BURST = 200;
export const UNKNOWN_STREAMS_PER_SECOND = 10;

/** Frames on the control stream after SETTINGS: so many at once and so many a second. A browser sends PRIORITY_UPDATE frames as a page is laid out, some for each image. Stops: PRIORITY_UPDATE, MAX_PUSH_ID and CANCEL_PUSH floods, rfc9114#10.5, rfc9218#13. */
export const CONTROL_FRAME_BURST = 2000;
export const CONTROL_FRAMES_PER_SECOND = 200;

/** Priorities kept for requests that have not come yet: as many as may be under way. Stops: memory by PRIORITY_UPDATE for streams that never come, rfc9218#7. */
export const EARLY_PRIORITIES = 100;

/** Origins a server may name by ORIGIN frames. Hundreds of names fit one certificate. Stops: memory by origins without end, rfc8336#4. */
export const ORIGINS = 1000;

/** HTTP datagrams that wait for the application to take them, for each request, and their bytes; the oldest goes. A tunnel's burst of a round trip. Stops: memory by datagrams nobody reads. */
export const REQUEST_DATAGRAMS = 256;
export const REQUEST_DATAGRAM_BYTES = 262_144;

/** HTTP datagrams that came before their request, of a connection, and their bytes: those of a round trip, rfc9297#2.1; the oldest goes. Stops: memory by datagrams for streams that never come. */
export const EARLY_DATAGRAMS = 64;
export const EARLY_DATAGRAM_BYTES = 65_536;

/** Pushes that a client lets be under way at a time where it takes them at all: promised, and not read or cancelled. Stops: memory by promises, each with a header section of up to FIELD_SECTION_SIZE. */
export const PUSHES = 16;

/** Milliseconds for which a push stream waits for its promise. Its data waits in QUIC's windows. rfc9114#4.6: a reasonable amount of time. Stops: push streams that nobody promised. */
export const PROMISE_TIMEOUT = 10_000;

/** Milliseconds between the PINGs of a client that waits for responses: a third of the usual idle timeout, as quic-go's client. A server that keeps sending to an address that a NAT has forgotten hears of the new one by it. rfc9114#5.1 */
export const PING_INTERVAL = 10_000;

/** Milliseconds from a request stream's first byte to the end of its header section. Node's own default for HTTP/1. Stops: streams that are opened and never say what for. */
export const HEADERS_TIMEOUT = 60_000;

/** Milliseconds in which a client neither sends what the server reads nor takes what it writes; up to twice that where it is looked at. Node's own for a whole HTTP/1 request. Stops: slow readers and writers that hold requests for ever. */
export const STALL_TIMEOUT = 300_000;

/** Bytes of encoder instructions that may wait for acknowledgement before fields go out as literals: below any peer's stream window, so that instructions do not wait for credit. rfc9204#2.1.3 */
export const QPACK_ENCODER_IN_FLIGHT = 16384;

/** Bytes read ahead of a stream whose frames are being read: what an application has not taken. Stops: memory by streams nobody reads; the rest waits in QUIC's windows. */
export const READ_AHEAD = 65536;

/** Payload that is put into the same buffer as its frame header; larger payloads follow it uncopied. */
export const SMALL_PAYLOAD = 4096;

/** Largest DATA frame that is sent: others' control frames and trailers can be told apart soon enough, and few headers are written. */
export const MAX_DATA_FRAME = 1_048_576;

/** Requests of a connection that wait for the application to accept them. QUIC's limit on streams (100 by default) bounds them too, but is freed by a reset. Stops: rapid resets. */
export const WAITING_REQUESTS = 200;

/** Milliseconds for which a client holds a body back that it sends with "Expect: 100-continue". As curl; no attack: rfc9110#10.1.1 says that a client does not wait for ever. */
export const CONTINUE_TIMEOUT = 1000;

/** Milliseconds until a response's head is there, and between parts of its body. As Node's fetch. Stops: servers that hold a client's requests for ever. */
export const RESPONSE_TIMEOUT = 300_000;

/** Milliseconds by which HTTP/3 goes first where there is something to fall back to: as long as it takes a handshake to go round the world. rfc8305#5 */
export const FALLBACK_DELAY = 250;

/** Origins whose alternative services are remembered. Stops: memory by servers that redirect from one origin to the next. */
export const ALT_SVC_ORIGINS = 1000;

/** Alternatives remembered for an origin, and characters of a field that are looked at. Stops: memory and time by long lists. */
export const ALT_SVC_ALTERNATIVES = 4;
export const ALT_SVC_LENGTH = 4096;

/** Seconds for which an alternative is believed at most: a month. Stops: a mistake, or a takeover of a host for a day, that lasts for years. rfc7838#9.2 */
export const ALT_SVC_MAX_AGE = 2_592_000;

/** Milliseconds for which HTTP/3 is not tried again where it failed; doubled with each failure up to the second figure. Stops: each request waiting for a network that lets no UDP through. */
export const BROKEN_FOR = 300_000;
export const BROKEN_FOR_MOST = 172_800_000;
