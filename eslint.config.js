// The house rules that a machine can hold: import arrows point down, and the core has no I/O of its own.
import tseslint from "typescript-eslint";

/** internal/ in the order of its arrows: a folder imports only folders before it. */
const ORDER = [
  "protocol",
  "ffi",
  "udp",
  "wire",
  "crypto",
  "tls",
  "handshake",
  "congestion",
  "recovery",
  "flow",
  "stream",
  "path",
  "connection",
  "endpoint",
];

/** Only src may import sockets; no folder of the core does. */
const SOCKETS = "udp";

const CLOCK_GLOBALS = [
  "Date",
  "performance",
  "setTimeout",
  "setInterval",
  "setImmediate",
  "clearTimeout",
  "clearInterval",
  "clearImmediate",
  "queueMicrotask",
  "Promise",
  "fetch",
  "WebSocket",
  "AbortSignal",
  "AbortController",
];

const IO_MODULES = [
  "dgram",
  "net",
  "tls",
  "dns",
  "dns/promises",
  "fs",
  "fs/promises",
  "http",
  "http2",
  "https",
  "timers",
  "timers/promises",
  "perf_hooks",
  "worker_threads",
  "child_process",
  "cluster",
  "events",
  "stream",
].flatMap((name) => [name, `node:${name}`]);

const PURE_CORE = {
  "no-restricted-globals": [
    "error",
    ...CLOCK_GLOBALS.map((name) => ({ name, message: "internal/ has no clock, timers, promises or I/O." })),
    { name: "crypto", message: "Randomness comes in as a RandomSource." },
  ],
  "no-restricted-syntax": [
    "error",
    { selector: ":function[async=true]", message: "internal/ has no promises: emit pending, take provide." },
    { selector: "AwaitExpression", message: "internal/ has no promises." },
    { selector: "ImportExpression", message: "internal/ loads nothing at run time." },
    {
      selector: "MemberExpression[object.name='Math'][property.name='random']",
      message: "Randomness comes in as a RandomSource.",
    },
    {
      selector:
        "MemberExpression[property.name=/^(hrtime|nextTick|random(Bytes|Fill|FillSync|Int|UUID)|getRandomValues|generateKeyPair.*|generateKey.*|webcrypto|subtle)$/]",
      message: "No clock and no randomness in internal/: both are parameters.",
    },
    {
      selector:
        "ImportSpecifier[imported.name=/^(random.*|getRandomValues|generateKey.*|webcrypto|subtle|randomBytes|hrtime|nextTick|promisify)$/]",
      message: "No clock and no randomness in internal/: both are parameters.",
    },
  ],
};

function arrows(folder) {
  const at = ORDER.indexOf(folder);
  const above = ORDER.slice(at + 1);
  const banned = folder === SOCKETS ? above : [...above, SOCKETS];
  const patterns = [
    { regex: "(^|/)(src|http3|qlog|examples|test)/", message: "internal/ imports nothing above it." },
  ];
  if (banned.length > 0) {
    patterns.push({
      regex: `^\\.\\./(.*/)?(${banned.join("|")})/`,
      message: `Arrows point down: internal/${folder} may not import this folder.`,
    });
  }
  const io = folder === SOCKETS ? [] : IO_MODULES.map((name) => ({ name, message: "The core has no I/O." }));
  return {
    files: [`internal/${folder}/**/*.ts`],
    rules: {
      "no-restricted-imports": ["error", { paths: io, patterns }],
      ...(folder === SOCKETS ? {} : PURE_CORE),
    },
  };
}

const layer = (files, regex, message) => ({
  files,
  rules: { "no-restricted-imports": ["error", { patterns: [{ regex, message }] }] },
});

export default tseslint.config(
  { ignores: ["dist/**", "node_modules/**", "test/interop/peers/**", "**/.cache/**"] },
  ...tseslint.configs.recommended,
  {
    languageOptions: { ecmaVersion: 2023, sourceType: "module" },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "@typescript-eslint/no-explicit-any": "error",
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      "@typescript-eslint/no-non-null-assertion": "off",
      "max-lines": ["error", { max: 620, skipComments: false }],
      eqeqeq: "error",
      "prefer-const": "error",
      "no-console": "error",
    },
  },
  ...ORDER.map(arrows),
  layer(
    ["src/**/*.ts"],
    "(^|/)(http3|qlog|examples|test)/",
    "src imports only internal (qlog by import() alone).",
  ),
  layer(["http3/**/*.ts"], "(^|/)(internal|qlog|examples|test)/", "http3 uses the public API alone."),
  layer(["qlog/**/*.ts"], "(^|/)(internal|examples|test)/", "qlog uses src and http3 types alone."),
  layer(["examples/**/*.ts"], "(^|/)(internal|test)/", "examples use what a user can use."),
  { files: ["examples/**/*.ts", "test/**/*.ts"], rules: { "no-console": "off" } },
);
