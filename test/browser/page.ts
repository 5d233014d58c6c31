// The page and its sub-resources: pictures, scripts, styles and data, small as those of real pages are.

const KINDS = ["svg", "js", "css", "json"] as const;

/** The path of the n-th sub-resource. */
const path = (n: number): string => `/r/${n}.${KINDS[n % KINDS.length]}`;

const TEXT = { "content-type": "text/html; charset=utf-8", "cache-control": "no-store" };

/** A page with so many sub-resources: each paints its own square of a field, so that a picture of it shows what is missing. */
export function page(resources: number): Response {
  const all = Array.from({ length: resources }, (_, n) => n);
  const of = (kind: (typeof KINDS)[number]) => all.filter((n) => path(n).endsWith(kind));
  const html = `<!doctype html>
<title>quic-ts</title>
<link rel="icon" href="data:,">
<style>
  body { font: 14px sans-serif; margin: 12px; }
  #field { display: grid; grid-template-columns: repeat(20, 28px); gap: 4px; }
  #field > * { width: 28px; height: 28px; background: #c33; }
</style>
${of("css")
  .map((n) => `<link rel="stylesheet" href="${path(n)}">`)
  .join("\n")}
<h1>${resources} sub-resources over HTTP/3</h1>
<div id="field">
${all
  .map((n) => (path(n).endsWith("svg") ? `<img id="r${n}" src="${path(n)}">` : `<div id="r${n}"></div>`))
  .join("\n")}
</div>
<p id="said"></p>
${of("js")
  .map((n) => `<script src="${path(n)}"></script>`)
  .join("\n")}
<script>
  for (const n of ${JSON.stringify(of("json"))})
    fetch("/r/" + n + ".json").then((response) => response.json()).then(({ color }) => {
      document.getElementById("r" + n).style.background = color;
    });
</script>
`;
  return new Response(html, { headers: TEXT });
}

/** What lies at a path, or null. */
export function resource(pathname: string): Response | null {
  const found = /^\/r\/(\d+)\.(\w+)$/.exec(pathname);
  if (found === null || path(Number(found[1])) !== pathname) return null;
  const n = Number(found[1]);
  const [type, text] = content(n, found[2] as (typeof KINDS)[number]);
  return new Response(text, { headers: { "content-type": type, "cache-control": "no-store" } });
}

function content(n: number, kind: (typeof KINDS)[number]): [type: string, text: string] {
  switch (kind) {
    case "svg":
      return ["image/svg+xml", svg("#284")];
    case "js":
      return ["text/javascript", `document.getElementById("r${n}").style.background = "#248";\n`];
    case "css":
      return ["text/css", `#field > #r${n} { background: #842; }\n`];
    case "json":
      return ["application/json", JSON.stringify({ color: "#482" })];
  }
}

const svg = (color: string): string =>
  `<svg xmlns="http://www.w3.org/2000/svg" width="28" height="28"><rect width="28" height="28" fill="${color}"/></svg>`;
