/**
 * QPACK, the field compression of HTTP/3 (RFC 9204), without streams.
 *
 * @module
 */

export { QpackDecoder, type DecodedSection, type QpackDecoderOptions } from "./decoder.ts";
export { QpackEncoder, type QpackEncoderOptions, type QpackPeerSettings } from "./encoder.ts";
export { FIELD_OVERHEAD, fieldSize, type Field } from "./field.ts";
export { DefaultPolicy, indexAll, indexNothing, type Indexing, type QpackPolicy } from "./policy.ts";
