// What a peer is to the runner. Its program, whatever the language, speaks the lines of engine/spec.ts.

import type { Workload } from "../engine/spec.ts";

export interface Command {
  readonly program: string;
  /** Before the argument with the Spec. */
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface Peer {
  readonly name: string;
  /** Finds, builds or installs it. Returns why it cannot be had here, or null. */
  prepare(): Promise<string | null>;
  /** After `prepare`: what was measured. */
  version(): string;
  /** Why a workload is not for this peer, or null. */
  lacks(workload: Workload): string | null;
  command(role: "client" | "server", workload: Workload): Command;
  /** Path of what was installed: goes into the Spec. */
  readonly module?: string;
  /** What is not as in the others, by nature or because it cannot be chosen. */
  readonly notes: readonly string[];
}
