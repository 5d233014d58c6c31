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
