import { MultiBar, Presets, type SingleBar } from "cli-progress";

/** A line per download on a terminal, nothing elsewhere. */
export class Progress {
  readonly #bars: MultiBar | null;

  constructor(wanted: boolean) {
    this.#bars =
      wanted && process.stderr.isTTY
        ? new MultiBar(
            {
              format: "{name} {megabytes} MB, {rate} MB/s, {duration_formatted}",
              stream: process.stderr,
              hideCursor: true,
            },
            Presets.rect,
          )
        : null;
  }

  /** Passes `body` on and shows how far it is. HTTP/0.9 has no lengths: there is no end to draw. */
  async *watch(body: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<Uint8Array, void, undefined> {
    const bar: SingleBar | undefined = this.#bars?.create(1, 0, { name, megabytes: "0.0", rate: "0.0" });
    const begun = performance.now();
    let bytes = 0;
    for await (const chunk of body) {
      bytes += chunk.length;
      const seconds = (performance.now() - begun) / 1000;
      bar?.update(0, { megabytes: (bytes / 1e6).toFixed(1), rate: (bytes / 1e6 / seconds).toFixed(1) });
      yield chunk;
    }
    bar?.update(1);
    bar?.stop();
  }

  stop(): void {
    this.#bars?.stop();
  }
}
