// Comparisons of secrets take the same time wherever the first difference is: a short measurement, with a control that
// shows it can fail. `npm run timing` is the long one.
import assert from "node:assert/strict";
import { test } from "node:test";
import { compare, type Outcome } from "./welch.ts";
import { control, subjects, type Subject } from "./subjects.ts";

/** Generous: machines that run tests are noisy, and comparisons that stop early differ by a factor. */
const CERTAIN = 10;
const OF_USE = 0.15;

function measure({ inputs, run, weight }: Subject): Outcome {
  return compare(inputs, run, {
    calls: Math.max(1, Math.round(400 * weight)),
    samples: 1000,
    random: Math.random,
  });
}
const differs = ({ t, ratio }: Outcome) => Math.abs(t) > CERTAIN && Math.abs(ratio - 1) > OF_USE;

for (const subject of subjects()) {
  // rfc9000#10.3.1 MUST perform the comparison without leaking information about the value of the token
  test(subject.name, () => {
    // What is there is there each time; noise is not.
    const seen: Outcome[] = [];
    for (let attempt = 0; attempt < 4; attempt++) {
      const outcome = measure(subject);
      if (!differs(outcome)) return;
      seen.push(outcome);
    }
    assert.fail(`time tells where the difference is: ${JSON.stringify(seen)}`);
  });
}

test("an equality that stops early is seen", () => {
  for (let attempt = 0; attempt < 4; attempt++) if (differs(measure(control()))) return;
  assert.fail("the measurement sees nothing");
});
