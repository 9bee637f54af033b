/** The ports that record outcomes, over a fake GitHub: real HTTP, a database in memory, no judge. */
import { generateKeyPairSync } from "node:crypto";
import { openDatabase } from "../../src/adapters/db/open-database.ts";
import { createGitHost } from "../../src/adapters/github/git-host.ts";
import { createSyntax } from "../../src/adapters/tree-sitter/create-syntax.ts";
import { createWorkspace } from "../../src/adapters/workspace/workspace.ts";
import { parseRepoConfig } from "../../src/config/repo-config.ts";
import { type FakeGitHub, startFakeGitHub } from "../../src/fake-github/start.ts";
import type { RecordOutcomePorts } from "../../src/flows/record-outcome.ts";
import type { Clock } from "../../src/ports.ts";

export type OutcomeWorld = { github: FakeGitHub; ports: RecordOutcomePorts; stop(): Promise<void> };

const silent = () => {};

/** Webhooks are lost. `permissions`: beside those that every app has. */
export async function openOutcomeWorld(options: {
  events: string[];
  permissions: Record<string, "read" | "write">;
  logins: string[];
  artifacts: RecordOutcomePorts["artifacts"];
  matches: RecordOutcomePorts["matches"];
  warn?: RecordOutcomePorts["log"]["warn"];
}): Promise<OutcomeWorld> {
  const keys = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  });
  const clock: Clock = { now: () => new Date(), sleep: async () => {} };
  const github = await startFakeGitHub({
    id: 42,
    slug: "funprm",
    name: "FunPRM",
    owner: "operator",
    publicKey: keys.publicKey,
    webhookSecret: "a secret of this test",
    webhookUrl: null,
    events: options.events,
    permissions: {
      ...{ metadata: "read", contents: "write", issues: "write", pull_requests: "write", checks: "write" },
      ...options.permissions,
    },
  });
  for (const login of options.logins) await github.act("user", { login });
  const database = await openDatabase({ path: ":memory:", now: clock.now, random: (count) => new Uint8Array(count) });
  const ports: RecordOutcomePorts = {
    host: createGitHost({
      appId: 42,
      privateKey: keys.privateKey,
      baseUrl: `${github.url}/api/v3`,
      clock,
      pacing: { spacingMs: 0, perMinute: 1_000, perHour: 10_000 },
      retryBaseMs: 1,
    }),
    learning: database.learning,
    runs: database.runs,
    workspace: createWorkspace(),
    syntax: await createSyntax(),
    judge: null,
    artifacts: options.artifacts,
    matches: options.matches,
    clock,
    log: { debug: silent, info: silent, warn: options.warn ?? silent, error: silent },
    parseConfig: parseRepoConfig,
    environment: (name) => name,
    markerKey: "k",
  };
  return {
    github,
    ports,
    async stop() {
      await database.close();
      await github.stop();
    },
  };
}
