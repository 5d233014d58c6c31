// How much loss in a round trip is congestion to BBR: draft-ietf-ccwg-bbr, IsInflightTooHigh.

/** BBR.LossThresh: more is too much. */
export const LOSS_THRESHOLD = 0.02;
/** Datagrams lost beyond that threshold that may be chance, and the part of what is in flight that they may be. */
const CHANCE_LOSSES = 2;
const CHANCE_SHARE = 1 / 16;

/**
 * Whether `lost` bytes of `inFlight` are too many, with room for chance: a packet or two of many are no rate. Of fifty in
 * flight a single one would be too much for the draft, and on a path that loses one in a hundred at random the window
 * would go down with every other probe; a queue that overflows loses many more.
 */
export function isTooMuchLoss(lost: number, inFlight: number, maxDatagramSize: number): boolean {
  return (
    lost > LOSS_THRESHOLD * inFlight + Math.min(CHANCE_LOSSES * maxDatagramSize, CHANCE_SHARE * inFlight)
  );
}

/** InflightAtLoss: how much was in flight when losses came to be too many, which they were not before the last packet. */
export function inflightAtLoss(lost: number, inFlight: number, packet: number): number {
  const before = inFlight - packet;
  return before + (LOSS_THRESHOLD * before - (lost - packet)) / (1 - LOSS_THRESHOLD);
}
