/**
 * qlog for quic-ts: what happens on a connection, in a form that tools read.
 *
 * @module
 */

export { EVENT_LEVELS, type QlogLevel } from "./events.ts";
export {
  qlogCallback,
  qlogDirectory,
  type QlogFactory,
  qlogFile,
  type QlogOptions,
  type QlogSink,
  qlogStream,
  QlogTracer,
} from "./writer.ts";
export { formatStats, qlogStats, type QlogStats } from "./stats.ts";
