/**
 * A UDP address. Objects are shared: the socket layer hands out one object for one ip and port while it is in use,
 * so that the hot path compares by identity first and by `key` second.
 */
export interface Address {
  /** IPv4 in dotted form or IPv6 without brackets and without zone, in the operating system's canonical spelling. */
  readonly ip: string;
  readonly port: number;
  readonly family: 4 | 6;
  /** `ip:port` or `[ip]:port`: equal for equal addresses. */
  readonly key: string;
}

export function makeAddress(ip: string, port: number): Address {
  const family = ip.includes(":") ? 6 : 4;
  return { ip, port, family, key: family === 6 ? `[${ip}]:${port}` : `${ip}:${port}` };
}

export function sameAddress(a: Address, b: Address): boolean {
  return a === b || a.key === b.key;
}
