// What the test and the process with the server say to each other.

export interface Settings {
  readonly port: number;
  readonly cert: string;
  readonly key: string;
  /** Hex. */
  readonly statelessResetKey: string;
}

export interface Command {
  readonly id: number;
  /** `disconnect` closes all connections: the next visit makes a new one. */
  readonly order: "look" | "disconnect";
}

export interface State {
  readonly counts: {
    readonly requests: number;
    /** Requests that came in 0-RTT. */
    readonly early: number;
    /** Downloads that the browser gave up. */
    readonly aborted: number;
    readonly connections: number;
    readonly resumed: number;
  };
  readonly earlyPaths: readonly string[];
  readonly statelessResets: number;
}

export type Report =
  | { readonly kind: "listening"; readonly port: number }
  | { readonly kind: "failure"; readonly message: string }
  | ({ readonly kind: "answer"; readonly id: number } & State);
