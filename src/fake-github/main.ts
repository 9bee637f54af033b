/** The fake GitHub as a process of its own: options as one JSON line on stdin, `{"url"}` as one line on stdout. */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { createFakeServer } from "./server.ts";
import { World } from "./state.ts";
import { createStorageServer } from "./storage.ts";
import type { App } from "./types.ts";

const [line] = await new Promise<string[]>((resolve) => {
  const reader = createInterface({ input: process.stdin });
  reader.once("line", (text) => resolve([text]));
});
const options = JSON.parse(line!) as { app: App };
const folder = mkdtempSync(join(tmpdir(), "funprm-fake-github-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => process.exit(0));
// The parent's end of stdin closes with the parent: nothing is left behind when it is killed.
process.stdin.on("end", () => process.exit(0));
const world = new World(options.app, folder);
world.storageUrl = await listen(createStorageServer(world));
world.url = await listen(createFakeServer(world));
process.stdout.write(`${JSON.stringify({ url: world.url })}\n`);

async function listen(server: Server): Promise<string> {
  await once(server.listen(0, "127.0.0.1"), "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
