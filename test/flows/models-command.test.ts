/** `funprm models` and the operator's page, on a database in memory. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Command } from "commander";
import { beforeEach, expect, test } from "vitest";
import { type Database, openDatabase } from "../../src/adapters/db/open-database.ts";
import { createFiles } from "../../src/adapters/files/files.ts";
import { serveLearnedPage } from "../../src/app/web/serve-learned-page.ts";
import { addModelsCommand } from "../../src/cli/commands/models.ts";
import type { GateDecision } from "../../src/domain/model-version.ts";
import { createFakeRewardModel } from "../fakes/fake-reward-model.ts";

let database: Database;
let opened: (string | null)[];
const clock = { now: () => new Date(Date.UTC(2026, 0, 1)), sleep: async () => {} };

beforeEach(async () => {
  opened = [];
  let draws = 0;
  database = await openDatabase({
    path: ":memory:",
    now: clock.now,
    random: (bytes) => new Uint8Array(bytes).map(() => (draws++ * 37) % 256),
  });
});

async function funprm(...args: string[]): Promise<string> {
  const written: string[] = [];
  const program = new Command().exitOverride();
  addModelsCommand(
    program,
    { cwd: ".", stdout: (text) => void written.push(text), stderr: () => {}, isTerminal: false },
    {
      registry: async () => ({ models: database.models, close: async () => {} }),
      gate: () => ({
        open: async ({ folder }) => {
          opened.push(folder);
          return createFakeRewardModel();
        },
        cpuSeconds: () => 0,
        clock,
      }),
      files: createFiles,
    },
  );
  await program.parseAsync(["models", ...args], { from: "user" });
  return written.join("");
}

const decision = (verdict: GateDecision["verdict"]): GateDecision => ({
  verdict,
  champion: { name: "fake", version: "0", sha256: "0".repeat(64) },
  challenger: { name: "fake", version: "x", sha256: "x" },
  checks: [{ name: "within-problem AUC", ok: verdict === "promoted", said: "must rise", figure: null }],
  rows: 1,
  problems: 1,
  validation: "",
  at: "2026-01-01T00:00:00.000Z",
});

async function challenger(letter: string, verdict: GateDecision["verdict"]) {
  await funprm("list");
  const base = (await database.models.active())!;
  await database.models.register({
    ...base,
    version: `0+${letter}`,
    sha256: letter.repeat(64),
    folder: `bundle-${letter}`,
    base: base.sha256,
    snapshot: "s",
    decision: decision(verdict),
  });
}

test("the bundled model is the first version and scores", async () => {
  const { active, models } = JSON.parse(await funprm("list", "--json"));
  expect(models).toHaveLength(1);
  expect(active).toBe(models[0].sha256);
  await expect(funprm("rollback")).rejects.toThrow("none to go back to");
});

test("a refused version needs a reason, a promoted one none; the bundle is opened before the switch", async () => {
  await challenger("a", "refused");
  await challenger("b", "promoted");
  await expect(funprm("promote", "0+a")).rejects.toThrow("refused by within-problem AUC");
  await funprm("promote", "0+b");
  expect(opened.at(-1)).toBe("bundle-b");
  expect((await database.models.active())!.version).toBe("0+b");
  await funprm("promote", "0+a", "--reason", "I know better");
  expect((await database.models.switches())[0]).toMatchObject({ by: "operator", reason: "I know better" });
});

test("rollback goes back one version, then further, never in a circle", async () => {
  await challenger("a", "promoted");
  await challenger("b", "promoted");
  await funprm("promote", "0+a");
  await funprm("promote", "0+b");
  await funprm("rollback");
  expect((await database.models.active())!.version).toBe("0+a");
  await funprm("rollback");
  expect((await database.models.active())!.version).toBe("0");
  await expect(funprm("rollback")).rejects.toThrow("none to go back to");
});

test("the operator's page opens with the operator's token alone", async () => {
  const { learning, reviews, runs, models } = database;
  const token = "o".repeat(20);
  const server = createServer(async (request, response) => {
    const served = await serveLearnedPage(
      { learning, reviews, runs, models, clock, operatorToken: token, open: false },
      request,
      response,
    );
    if (!served) response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const ask = (authorization?: string) =>
    fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/learned`, {
      headers: authorization === undefined ? {} : { authorization },
    });
  expect((await ask()).status).toBe(404);
  expect((await ask("Bearer wrong")).status).toBe(404);
  const page = await ask(`Bearer ${token}`);
  expect(page.status).toBe(200);
  expect(page.headers.get("content-security-policy")).toContain("default-src 'none'");
  expect(await page.text()).toContain("What FunPRM learned");
  await new Promise((resolve) => server.close(resolve));
});
