// What goes wrong with a transport's socket.

import { QuicError } from "../internal/protocol/errors.ts";

/** Rejects what is asked of a transport after `close`, or after its socket failed. */
export class TransportClosedError extends QuicError {
  constructor(cause?: unknown) {
    super(
      "ERR_QUIC_TRANSPORT_CLOSED",
      cause === undefined
        ? "The transport was closed; make another one."
        : "The transport's socket failed; make another transport.",
      { cause },
    );
  }
}

/** The socket could not be opened or bound. `cause` is the system's error. */
export class SocketError extends QuicError {
  constructor(address: string, port: number, cause: unknown) {
    const code = (cause as NodeJS.ErrnoException).code;
    const hint =
      code === "EADDRINUSE"
        ? "another process uses that port; choose another port or stop that process"
        : code === "EACCES"
          ? "ports below 1024 need privileges; choose a higher port"
          : code === "EADDRNOTAVAIL"
            ? "this machine has no such address"
            : "see the cause";
    super("ERR_QUIC_SOCKET", `Cannot bind UDP ${address} port ${port} (${code ?? "error"}): ${hint}.`, {
      cause,
    });
  }
}
