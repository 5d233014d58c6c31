// QUIC versions as the application names them.

import { VERSION_1, VERSION_2 } from "../internal/protocol/constants.ts";
import { isReservedVersion } from "../internal/connection/versions.ts";
import { InvalidOptionError } from "../internal/protocol/errors.ts";

/**
 * The versions this package speaks: `v1` is rfc9000, `v2` is rfc9369, which differs in numbers alone and exists so that
 * the network does not come to rely on those of version 1.
 *
 * @example
 * const versions = [QuicVersion.v2, QuicVersion.v1];
 * const conn = await dialAddr("localhost:4433", { ALPNProtocols: ["echo"], ca }, { versions });
 */
export const QuicVersion = { v1: VERSION_1, v2: VERSION_2 } as const;
export type QuicVersion = (typeof QuicVersion)[keyof typeof QuicVersion];

/** @throws {InvalidOptionError} for versions nobody speaks. */
export function checkVersions(
  versions: readonly number[] | undefined,
  originalVersion: number | undefined,
): void {
  const known: readonly number[] = Object.values(QuicVersion);
  if (versions !== undefined) {
    if (!Array.isArray(versions) || versions.length === 0) {
      throw new InvalidOptionError("versions", "an array of one or more, as in [QuicVersion.v1]");
    }
    const unknown = versions.find(
      (version: unknown, i) => !known.includes(versions[i]!) || versions.indexOf(version as number) !== i,
    );
    if (unknown !== undefined) {
      throw new InvalidOptionError(
        "versions",
        `QuicVersion.v1 and QuicVersion.v2, each once, not ${String(unknown)}`,
      );
    }
  }
  if (originalVersion === undefined) return;
  if (!(versions ?? known).includes(originalVersion) && !isReservedVersion(originalVersion)) {
    throw new InvalidOptionError(
      "originalVersion",
      `one of versions, or one reserved for exercise (0x?a?a?a?a), not ${String(originalVersion)}`,
    );
  }
}
