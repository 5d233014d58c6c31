// The example that runs two endpoints by hand does what it says.
import assert from "node:assert/strict";
import { test } from "node:test";
import { main } from "../../examples/sansio/main.ts";

test("examples/sansio: a question and an answer without sockets", () => {
  assert.equal(main(), "you said: hello without sockets");
});
