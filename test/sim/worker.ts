// A process of the campaigns: pool.ts. It ends when the one that began it lets go.
import { runCell } from "./congestion/cells.ts";
import { runConnections } from "./connections.ts";
import { runPath } from "./paths/parts.ts";
import type { Answer, CampaignName, Campaigns, Order } from "./pool.ts";

const RUN: { readonly [K in CampaignName]: (job: Campaigns[K]["job"]) => Campaigns[K]["result"] } = {
  connections: runConnections,
  congestion: runCell,
  paths: runPath,
};

process.on("message", ({ id, campaign, job }: Order) => {
  let outcome: Pick<Answer, "result" | "error">;
  try {
    outcome = { result: (RUN[campaign] as (job: unknown) => unknown)(job) };
  } catch (error) {
    outcome = { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
  const { user, system } = process.cpuUsage();
  const answer: Answer = { id, ...outcome, cpu: (user + system) / 1e6 };
  process.send!(answer);
});
