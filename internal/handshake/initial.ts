// Initial secrets: rfc9001#5.2, and version 2's: rfc9369#3.3.

import { hkdfExpandLabel } from "../crypto/hkdf.ts";
import type { CryptoProvider } from "../crypto/provider.ts";
import { fromHex } from "../protocol/bytes.ts";
import { VERSION_2 } from "../protocol/constants.ts";

const SALT_1 = fromHex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a");
const SALT_2 = fromHex("0dede3def700a6db819381be6e269dcbf9bd2ed9");

/** Both directions' Initial secrets from the client's first Destination Connection ID. */
export function initialSecrets(
  provider: CryptoProvider,
  version: number,
  dcid: Uint8Array,
): { client: Uint8Array; server: Uint8Array } {
  // rfc9001#5.2 The HKDF-Expand-Label function defined in TLS 1.3 MUST be used for Initial packets even where the TLS
  // versions offered do not include TLS 1.3.
  const initial = provider.hkdfExtract("sha256", version === VERSION_2 ? SALT_2 : SALT_1, dcid);
  return {
    client: hkdfExpandLabel(provider, "sha256", initial, "client in", undefined, 32),
    server: hkdfExpandLabel(provider, "sha256", initial, "server in", undefined, 32),
  };
}
