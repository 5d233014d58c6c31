/**
 * HTTP/3 for Node.js (RFC 9114): servers with handlers in the shape of fetch or of node:http, clients beneath fetch, and
 * connections at the level of streams, on the public API of quic-ts alone.
 *
 * @module
 */

export { ALT_SVC_CLEAR, altSvc, type AltSvcOptions } from "./alt-svc.ts";
export type { AttachableServer } from "./attach.ts";
export { type Alternative, AltSvcCache, type AltSvcEntry, parseAltSvc } from "./client/alt-svc-cache.ts";
export type {
  ControllerHandler,
  DispatchController,
  DispatchHandler,
  LegacyHandler,
} from "./client/dispatch-handler.ts";
export type { DispatchOptions } from "./client/dispatch-request.ts";
export {
  builtInDispatcher,
  type DispatcherLike,
  Http3Dispatcher,
  type Http3DispatcherOptions,
} from "./client/dispatcher.ts";
export { createFetch, fetch, type Http3Fetch } from "./client/fetch.ts";
export { type RoundTripOptions, RoundTripper, type RoundTripperOptions } from "./client/round-tripper.ts";
export type { PoolOptions } from "./client/pool.ts";
export type { Http3Response } from "./client/response.ts";
export { Http3ServerRequest } from "./compat/request.ts";
export { Http3ServerResponse } from "./compat/response.ts";
export { Http3Socket } from "./compat/socket.ts";
export {
  type Capsule,
  CAPSULE_PROTOCOL,
  CapsuleStream,
  type CapsuleStreamOptions,
  saysCapsules,
} from "./capsule-stream.ts";
export { Http3Connection } from "./connection.ts";
export type { RequestDatagrams } from "./datagrams.ts";
export {
  GoingAwayError,
  H3_ERROR,
  type H3ErrorName,
  h3ErrorName,
  Http3ConnectionError,
  Http3Error,
  type Http3ErrorCode,
  Http3StateError,
  Http3StreamError,
  Http3TimeoutError,
  InvalidFieldError,
  MalformedMessageError,
  type MalformedReason,
} from "./errors.ts";
export { type FetchHandler, RequestContext, TooEarlyError } from "./fetch-handler.ts";
export type { RequestToSend } from "./message-build.ts";
export type { RequestHead, ResponseHead } from "./message-head.ts";
export { type ExtensionStream, H3_ALPN, type Http3Options } from "./options.ts";
export { DEFAULT_PRIORITY, type Priority } from "./priority.ts";
export type { Field } from "./qpack/field.ts";
export { type PushHandler, PushedResponse } from "./push-client.ts";
export { type PushRequest, ServerPush } from "./push-server.ts";
export type { QpackPolicy } from "./qpack/policy.ts";
export { MessageStream } from "./message-stream.ts";
export { ClientStream, ServerStream } from "./request-stream.ts";
export {
  createSecureServer,
  createServer,
  type NodeHandler,
  type NodeRequest,
  type NodeResponse,
  Server,
  type ServerOptions,
  type StreamHandler,
} from "./server.ts";
export type { Settings } from "./settings.ts";
export { type FilesOptions, serveFiles } from "./static.ts";
export {
  acceptWebSocket,
  type AcceptWebSocketOptions,
  isWebSocket,
  openWebSocket,
  type OpenWebSocketOptions,
  type WebSocketClass,
  type WebSocketOptions,
} from "./websocket.ts";
