// What the core asks of the user's hooks, and their answers.

import type { CryptoProvider } from "../internal/crypto/provider.ts";
import type { PendingAnswer, PendingRequest } from "../internal/tls/types.ts";
import { askClientHello } from "./client-hello.ts";
import type { Connection } from "./connection.ts";
import { askReplayFilter } from "./early-data.ts";
import { askIdentity, findOcspResponse } from "./identities.ts";
import { lookUpPsk } from "./sessions.ts";
import { type Authorization, runVerifier, type TlsOptions } from "./tls-options.ts";

/** Of which connection, and what it was configured with. */
export interface Asked {
  readonly tls: TlsOptions;
  readonly provider: CryptoProvider;
  readonly authorization: Authorization;
  readonly connection: Connection;
  replaceTls(tls: TlsOptions): void;
}

/** @internal Runs the hook that `request` is for. Never rejects: a hook's failure is an answer. */
export async function answerTo(request: PendingRequest, asked: Asked): Promise<PendingAnswer> {
  const { tls, provider, authorization, connection } = asked;
  switch (request.kind) {
    case "verify": {
      const { chain, serverName, role, ocspResponse = null } = request;
      return runVerifier(tls, { chain, serverName, role, ocspResponse }, authorization);
    }
    case "client_hello": {
      const { clientHello } = request;
      const chosen = await askClientHello(
        tls,
        provider,
        authorization,
        connection.core,
        clientHello,
        connection,
      );
      asked.replaceTls(chosen.tls);
      return chosen.answer;
    }
    case "identity":
      return askIdentity(tls, request.clientHello, provider);
    case "ocsp":
      return findOcspResponse(tls, request.identity);
    case "psk":
      return lookUpPsk(tls, request.identity);
    case "early_data":
      return askReplayFilter(connection.replayFilter, request);
    case "sign":
      return null;
  }
}
