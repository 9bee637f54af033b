/** The client of a worker that trains: attacked by a worker that is away, restarts, fails, or only scores. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createWorkerTuner } from "../../src/adapters/worker/worker-tuner.ts";
import { sha256 } from "../../src/domain/ids.ts";
import { trainingRequestSchema } from "../../src/wire/worker.ts";

type Reply = { status: number; body: unknown };
let folder: string;
let server: Server;
let seen: { method: string; path: string; body: Buffer; token: string }[];
let answer: (method: string, path: string, body: Buffer) => Reply;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "funprm-tuner-"));
  for (const name of ["base", "data"]) mkdirSync(join(folder, name));
  writeFileSync(join(folder, "base/manifest.json"), JSON.stringify({ modelSha256: "b".repeat(64) }));
  for (const split of ["training", "meta", "validation"]) writeFileSync(join(folder, `data/${split}.jsonl.gz`), split);
  seen = [];
  server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      const [method, path, body] = [request.method!, request.url!, Buffer.concat(parts)];
      seen.push({ method, path, body, token: request.headers.authorization ?? "" });
      const reply = answer(method, path, body);
      response.writeHead(reply.status);
      response.end(Buffer.isBuffer(reply.body) ? reply.body : JSON.stringify(reply.body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterEach(async () => {
  await new Promise((resolve) => server.close(resolve));
  rmSync(folder, { recursive: true, force: true });
});

function tuner() {
  let time = 0;
  return createWorkerTuner({
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    token: "t".repeat(32),
    pollMs: 60_000,
    clock: {
      now: () => new Date(time),
      sleep: async (milliseconds) => {
        time += milliseconds;
      },
    },
  });
}

const request = () => ({
  base: join(folder, "base"),
  data: join(folder, "data"),
  rehearsal: null,
  run: join(folder, "run"),
  bundle: join(folder, "bundle"),
  name: "funprm-mini",
  version: "0.2.0+1",
  epochs: 3,
  seed: 0,
});
const status = (state: string, line = "", files: string[] = []): Reply => ({
  status: 200,
  body: { id: "x", state, line, step: 0, of: null, files },
});
const away: Reply = {
  status: 503,
  body: { error: { code: "WORKER_UNAVAILABLE", kind: "transient", message: "busy" } },
};

test("sends each snapshot under its hash, waits through a restart, fetches the bundle, the manifest last", async () => {
  const states = [status("queued"), away, away, status("running", "step 20"), status("running", "step 20")];
  const files = ["manifest.json", "model.onnx", "table.jsonl", "../evil"];
  answer = (method, path) => {
    if (method === "PUT") return { status: 201, body: {} };
    if (path.includes("/files/")) return { status: 200, body: Buffer.from(path.split("/").at(-1)!) };
    return states.shift() ?? status("done", "bundle", files);
  };
  const lines: string[] = [];
  await tuner().tune(request(), (line) => lines.push(line));
  const puts = seen.filter((one) => one.method === "PUT");
  expect(puts.map((one) => one.path)).toEqual(puts.map((one) => `/v1/snapshots/${sha256(one.body)}`));
  const posted = trainingRequestSchema.parse(
    JSON.parse(seen.find((one) => one.method === "POST")!.body.toString("utf8")),
  );
  expect(posted).toMatchObject({ base: "b".repeat(64), config: { version: "0.2.0+1", epochs: 3 } });
  expect(lines).toEqual(["step 20"]);
  expect(readFileSync(join(folder, "bundle/model.onnx"), "utf8")).toBe("model.onnx");
  expect(readFileSync(join(folder, "run/table.jsonl"), "utf8")).toBe("table.jsonl");
  expect(seen.at(-1)!.path).toMatch(/manifest\.json$/);
  expect(seen.filter((one) => one.path.includes("evil"))).toEqual([]);
  expect(new Set(seen.map((one) => one.token))).toEqual(new Set([`Bearer ${"t".repeat(32)}`]));
});

test("the same request has the same id, another one has another", async () => {
  answer = (method) => (method === "PUT" ? { status: 201, body: {} } : status("done"));
  await tuner().tune(request(), () => {});
  await tuner().tune(request(), () => {});
  await tuner().tune({ ...request(), seed: 1 }, () => {});
  const ids = seen.filter((one) => one.method === "POST").map((one) => JSON.parse(one.body.toString("utf8")).id);
  expect(ids[0]).toBe(ids[1]);
  expect(ids[2]).not.toBe(ids[0]);
});

test("a failed training, a refusal and a worker that stays away each end with one line", async () => {
  const tune = () => tuner().tune(request(), () => {});
  answer = (method) => (method === "PUT" ? { status: 201, body: {} } : status("failed", "step 3: the loss is nan"));
  await expect(tune()).rejects.toMatchObject({
    code: "TRAINING_FAILED",
    message: expect.stringContaining("the loss is nan"),
  });
  answer = () => ({ status: 404, body: { error: { code: "MODEL_REFUSED", kind: "user", message: "base: not here" } } });
  await expect(tune()).rejects.toMatchObject({
    code: "TRAINING_FAILED",
    message: expect.stringContaining("base: not here"),
  });
  answer = () => away;
  await expect(tune()).rejects.toMatchObject({ code: "WORKER_UNAVAILABLE" });
});

test("a worker that only scores is told from one that trains", async () => {
  const served = {
    name: "m",
    version: "1",
    sha256: "a".repeat(64),
    renderVersion: "v1",
    attention: "causal",
    maxTokens: 512,
    active: true,
  };
  const limits = { rows: 1, steps: 1, tokens: 1, bytes: 1 };
  answer = () => ({ status: 200, body: { wire: 1, models: [served], limits } });
  expect(await tuner().missing()).toContain("--trainings FOLDER");
  answer = () => ({ status: 200, body: { wire: 1, models: [served], limits, trains: true } });
  expect(await tuner().missing()).toBe(null);
});
