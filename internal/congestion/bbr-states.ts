// BBR's states and what they do to rate and window: draft-ietf-ccwg-bbr, "Summary of Control Behavior in the State
// Machine".

export const STARTUP = { name: "startup", pacingGain: 2.77, cwndGain: 2 };
export const DRAIN = { name: "drain", pacingGain: 0.5, cwndGain: 2 };
export const DOWN = { name: "probe_bw_down", pacingGain: 0.9, cwndGain: 2 };
export const CRUISE = { name: "probe_bw_cruise", pacingGain: 1, cwndGain: 2 };
export const REFILL = { name: "probe_bw_refill", pacingGain: 1, cwndGain: 2 };
export const UP = { name: "probe_bw_up", pacingGain: 1.25, cwndGain: 2.25 };
export const PROBE_RTT = { name: "probe_rtt", pacingGain: 1, cwndGain: 0.5 };
export type BbrState = typeof STARTUP;
