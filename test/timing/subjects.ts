// What is compared in constant time, each with two inputs whose first difference from the secret is elsewhere.
import { nodeProvider } from "../../internal/crypto/node.ts";
import { Routes } from "../../internal/endpoint/routing.ts";
import { RemoteCids } from "../../internal/path/remote-connection-ids.ts";
import { makeAddress } from "../../internal/protocol/address.ts";
import { bytesEqual, concatBytes, constantTimeEqual } from "../../internal/protocol/bytes.ts";
import { seeded } from "../path/seeded.ts";

export interface Subject {
  readonly name: string;
  /** Differs in the first byte, and in the last. */
  readonly inputs: readonly [Uint8Array, Uint8Array];
  readonly run: (input: Uint8Array) => unknown;
  /** Relative to others: an AEAD takes longer than a loop over 16 bytes. */
  readonly weight: number;
}

const random = seeded(404);
const draw = (n: number) => {
  const out = new Uint8Array(n);
  random(out);
  return out;
};
const flipped = (bytes: Uint8Array, at: number) => {
  const out = bytes.slice();
  out[at]! ^= 0x55;
  return out;
};
const ends = (secret: Uint8Array): [Uint8Array, Uint8Array] => [
  flipped(secret, 0),
  flipped(secret, secret.length - 1),
];

function resets(): Subject {
  const token = draw(16);
  const routes = new Routes<object>(random);
  const peer = makeAddress("192.0.2.1", 443);
  routes.addReset(token, peer, {});
  return {
    name: "stateless reset tokens of an address (rfc9000#10.3.1)",
    inputs: ends(token),
    run: (input) => routes.findReset(input, 0, peer),
    weight: 1,
  };
}

function connectionResets(): Subject {
  const token = draw(16);
  const cids = new RemoteCids({
    initial: draw(8),
    host: { addResetToken() {}, removeResetToken() {} },
  });
  cids.setInitialResetToken(token);
  const [first, last] = ends(token).map((each) => concatBytes(new Uint8Array(24), each)) as [
    Uint8Array,
    Uint8Array,
  ];
  return {
    name: "stateless reset tokens of a connection",
    inputs: [first, last],
    run: (input) => cids.isStatelessReset(input, 0, input.length),
    weight: 1,
  };
}

function sealed(): Subject {
  const provider = nodeProvider();
  const [key, nonce, aad] = [draw(16), draw(12), draw(0)];
  const whole = provider.aeadSeal("aes-128-gcm", key, nonce, aad, draw(64));
  const tag = whole.length - 16;
  return {
    name: "tags of tokens and tickets (node:crypto)",
    inputs: [flipped(whole, tag), flipped(whole, whole.length - 1)],
    run: (input) => provider.aeadOpen("aes-128-gcm", key, nonce, aad, input),
    weight: 0.02,
  };
}

export function subjects(): Subject[] {
  const equality = [16, 32, 48].map((length): Subject => {
    const secret = draw(length);
    return {
      name: `${length} bytes: tags, Finished, binders`,
      inputs: ends(secret),
      run: (input) => constantTimeEqual(secret, input),
      weight: 1,
    };
  });
  return [...equality, resets(), connectionResets(), sealed()];
}

/** Equality of public values stops at the first difference: what shows that the measurement sees such a thing. */
export function control(): Subject {
  const secret = draw(32);
  return {
    name: "public values",
    inputs: ends(secret),
    run: (input) => bytesEqual(secret, input),
    weight: 1,
  };
}
