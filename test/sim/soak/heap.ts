// What the heap holds, from a snapshot: data, and apart from it what V8 makes of functions. The latter grows for thousands
// of connections, for what is optimised, found wanting and optimised anew keeps pieces of code, and lists of maps that
// point to them: it was all that a comparison of snapshots of the 4th and the 10th round of the short soak found. Data
// grows from the first round of the full one to the second, by three dozen buffers in pools, and then no more: 11.45, 11.76,
// 11.76, 11.72 MB.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeHeapSnapshot } from "node:v8";

/** Bytes. */
export interface Heap {
  /** Objects, arrays, strings, closures, buffers: all that a program makes. */
  readonly data: number;
  /** Code, and what belongs to it. */
  readonly code: number;
}

interface Snapshot {
  readonly snapshot: {
    readonly meta: { readonly node_fields: readonly string[]; readonly node_types: readonly unknown[] };
  };
  readonly nodes: readonly number[];
}

/** Kinds of nodes that are not the program's. "hidden" are V8's own lists. */
const OF_CODE: readonly string[] = ["code", "hidden", "object shape"];

/** Collects what can be, and weighs the rest. */
export function heapInUse(): Heap {
  const folder = mkdtempSync(join(tmpdir(), "quic-soak-"));
  try {
    // Before it is written everything is collected.
    const { snapshot, nodes } = JSON.parse(
      readFileSync(writeHeapSnapshot(join(folder, "heap.heapsnapshot")), "utf8"),
    ) as Snapshot;
    const { node_fields: fields, node_types: kinds } = snapshot.meta;
    const [kind, size] = [fields.indexOf("type"), fields.indexOf("self_size")];
    const names = kinds[kind] as readonly string[];
    const heap = { data: 0, code: 0 };
    for (let i = 0; i < nodes.length; i += fields.length) {
      heap[OF_CODE.includes(names[nodes[i + kind]!]!) ? "code" : "data"] += nodes[i + size]!;
    }
    return heap;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
