// The controllers by name.

import { bbrFactory } from "./bbr.ts";
import type { CongestionControllerFactory } from "./controller.ts";
import { cubicFactory } from "./cubic.ts";
import { newRenoFactory } from "./newreno.ts";

const BY_NAME = { newreno: newRenoFactory, cubic: cubicFactory, bbr: bbrFactory } as const;

/** Names of the controllers that come with it. */
export type CongestionControllerName = keyof typeof BY_NAME;

export const CONTROLLER_NAMES = Object.keys(BY_NAME) as readonly CongestionControllerName[];

export const CONTROLLER_FACTORIES: readonly CongestionControllerFactory[] = Object.values(BY_NAME);

export const defaultController: CongestionControllerFactory = cubicFactory;

/** The factory of that name, or the given one; null for anything else. */
export function controllerFactory(choice: unknown): CongestionControllerFactory | null {
  if (typeof choice === "function") return choice as CongestionControllerFactory;
  return typeof choice === "string" && Object.hasOwn(BY_NAME, choice)
    ? BY_NAME[choice as CongestionControllerName]
    : null;
}
