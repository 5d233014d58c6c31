// Jobs of campaigns in processes, one for each core. What a job gives depends on the job alone, and results are taken in
// the order of the jobs: what is printed is the same however many processes there are.
import { fork, type ChildProcess } from "node:child_process";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { ConnectionsJob, ConnectionsRow } from "./connections.ts";
import type { CongestionJob, CongestionResult } from "./congestion/cells.ts";
import type { PathsJob, PathsResult } from "./paths/cases.ts";

/** What there is to do, and what comes of it, by campaign. Both pass between processes by structured clone. */
export interface Campaigns {
  readonly connections: { readonly job: ConnectionsJob; readonly result: ConnectionsRow };
  readonly congestion: { readonly job: CongestionJob; readonly result: CongestionResult };
  readonly paths: { readonly job: PathsJob; readonly result: PathsResult };
}
export type CampaignName = keyof Campaigns;

export interface Order {
  readonly id: number;
  readonly campaign: CampaignName;
  readonly job: unknown;
}

export interface Answer {
  readonly id: number;
  readonly result?: unknown;
  /** What the job threw. */
  readonly error?: string;
  /** Seconds of processor time of the process, up to now. */
  readonly cpu: number;
}

export class Pool {
  readonly #size: number;
  readonly #workers: ChildProcess[] = [];
  readonly #cpu = new Map<ChildProcess, number>();

  constructor(size = availableParallelism()) {
    this.#size = size;
  }

  /** Seconds of processor time that the processes took. */
  get cpu(): number {
    return [...this.#cpu.values()].reduce((sum, seconds) => sum + seconds, 0);
  }

  /** Does all jobs and hands the results over in their order, each as soon as those before it are there. */
  async each<K extends CampaignName>(
    campaign: K,
    jobs: readonly Campaigns[K]["job"][],
    take: (result: Campaigns[K]["result"], job: Campaigns[K]["job"]) => void,
  ): Promise<void> {
    const results = new Map<number, Campaigns[K]["result"]>();
    let given = 0;
    let taken = 0;
    while (this.#workers.length < Math.min(this.#size, jobs.length)) {
      this.#workers.push(fork(join(import.meta.dirname, "worker.ts"), { serialization: "advanced" }));
    }
    const serve = (worker: ChildProcess): Promise<void> =>
      new Promise((resolve, reject) => {
        const settle = (error?: Error): void => {
          worker.off("message", onAnswer);
          worker.off("exit", onExit);
          if (error === undefined) resolve();
          else reject(error);
        };
        const onExit = (code: number | null, signal: string | null): void =>
          settle(new Error(`a process of the campaign ended: ${signal ?? code}`));
        const onAnswer = ({ id, result, error, cpu }: Answer): void => {
          this.#cpu.set(worker, cpu);
          if (error !== undefined) return settle(new Error(`${JSON.stringify(jobs[id])}: ${error}`));
          results.set(id, result as Campaigns[K]["result"]);
          for (; results.has(taken); taken++) {
            take(results.get(taken)!, jobs[taken]!);
            results.delete(taken);
          }
          next();
        };
        const next = (): void => {
          if (given === jobs.length) return settle();
          const order: Order = { id: given, campaign, job: jobs[given] };
          given++;
          worker.send(order);
        };
        worker.on("message", onAnswer);
        worker.on("exit", onExit);
        next();
      });
    await Promise.all(this.#workers.map(serve));
  }

  close(): void {
    for (const worker of this.#workers) worker.disconnect();
    this.#workers.length = 0;
  }
}
