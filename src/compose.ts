/** The composition root: configuration → adapters → flows. The only place that constructs an adapter. */
import { createHash, createHmac, createPrivateKey, generateKeyPairSync, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import picomatch from "picomatch";
import { parse as parseYaml } from "yaml";
import { z } from "zod";
import packageManifest from "../package.json" with { type: "json" };
import { artifacts } from "./adapters/artifacts/read-artifact.ts";
import { openDatabase } from "./adapters/db/open-database.ts";
import { createFiles } from "./adapters/files/files.ts";
import { createGitHubClient } from "./adapters/github/client.ts";
import { createGitHost } from "./adapters/github/git-host.ts";
import { openRewardModel } from "./adapters/onnx/reward-model.ts";
import { createLlmJudge } from "./adapters/openai/llm-judge.ts";
import { createOpenAIGenerator } from "./adapters/openai/openai-generator.ts";
import { createReplayGenerator } from "./adapters/replay/replay-generator.ts";
import { createSandboxJudge } from "./adapters/sandbox/sandbox-judge.ts";
import { systemClock } from "./adapters/system/clock.ts";
import { createLog } from "./adapters/system/log.ts";
import { createSyntax } from "./adapters/tree-sitter/create-syntax.ts";
import { startLocalWorker } from "./adapters/worker/local-worker.ts";
import { openWorkerModel } from "./adapters/worker/worker-model.ts";
import { createWorkspace } from "./adapters/workspace/workspace.ts";
import { startApp } from "./app/start-app.ts";
import { retrainer } from "./compose-learning.ts";
import { appIdentity, type Environment, invocationFolder, readEnvironment } from "./config/env.ts";
import { EMBEDDED_MODEL, GPU_WORKER, ROOT } from "./config/places.ts";
import { parseRepoConfig } from "./config/repo-config.ts";
import { type Budget, createBudget } from "./domain/budget.ts";
import { FunprmError } from "./domain/errors.ts";
import { signLink } from "./domain/link.ts";
import type { BundledModel } from "./domain/repo-config.ts";
import { keyIdOf, sealManifest, signingKey } from "./domain/run-manifest.ts";
import { startFakeGitHub } from "./fake-github/start.ts";
import { createActiveModel } from "./flows/active-model.ts";
import { SNAPSHOTS, snapshotStore } from "./flows/build-snapshot.ts";
import type { LlmJudge } from "./flows/choose-judges.ts";
import { createScorerChoice } from "./flows/choose-scorer.ts";
import type { SolveIssuePorts } from "./flows/solve-issue.ts";
import funprm from "./index.ts";
import type { Generator, Judge, LearningStore, Log, RewardModel, RunStore } from "./ports.ts";

export { EMBEDDED_MODEL, GPU_WORKER };

/** Folder of a bundle in `models/`. */
export function bundledModel(name: BundledModel): string {
  return `${ROOT}models/${name}`;
}
/** Scores changed functions alone, where nobody names another (docs/adr/0019-review-model.md). */
export const REVIEW_MODEL: BundledModel = "funprm-mini-review";

export const DEMO = {
  repository: `${ROOT}demo/repository`,
  issue: `${ROOT}demo/issue.md`,
  answers: `${ROOT}demo/answers.jsonl`,
  abstainAnswers: `${ROOT}demo/answers-abstain.jsonl`,
  /** What a person changes in the repository, and the pull request's text. */
  review: `${ROOT}demo/review`,
};

const LINK_DAYS = 7;

/** The bundles that ship with funprm, each opened when it is first asked for and kept. */
export function openBundles(): { bundled(name: BundledModel): Promise<RewardModel>; dispose(): Promise<void> } {
  const opened = new Map<BundledModel, Promise<RewardModel>>();
  return {
    bundled(name) {
      const model = opened.get(name) ?? openRewardModel(bundledModel(name));
      opened.set(name, model);
      // One that failed is tried again by the next run.
      model.catch(() => opened.delete(name));
      return model;
    },
    dispose: async () => {
      for (const model of opened.values()) await (await model).dispose();
    },
  };
}

export function matchesGlob(glob: string, path: string): boolean {
  return picomatch.isMatch(path, glob, { dot: true });
}

export async function openReplay(file: string): Promise<Generator> {
  return createReplayGenerator(await Array.fromAsync(createFiles().answers(file)), file);
}

/** A gpu-worker. Throws `BAD_CONFIG` without a token, else what `openWorkerModel` throws. */
export async function openWorker(url: string, env: Environment): Promise<RewardModel> {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw new FunprmError("BAD_USAGE", `--worker ${url} is no address: http://127.0.0.1:8700 is one`);
  if (env.WORKER_TOKEN === undefined)
    throw new FunprmError("BAD_CONFIG", "WORKER_TOKEN is not set: give it the text of the worker's --token-file");
  return await openWorkerModel({ url, token: env.WORKER_TOKEN, clock: systemClock });
}

/** A checkpoint, with its adapter where it has one, in a gpu-worker that ends with the model. */
export async function openCheckpoint(folder: string): Promise<RewardModel> {
  const worker = await startLocalWorker(GPU_WORKER, folder);
  try {
    const model = await openWorkerModel({ url: worker.url, token: worker.token, clock: systemClock });
    return { ...model, dispose: () => worker.stop() };
  } catch (error) {
    await worker.stop();
    throw error;
  }
}

/** The configured LLM, one generator a run. Throws `GENERATOR_UNCONFIGURED` with the cure. */
export function openGenerator(env: Environment, settings: { model: string | null; budget: Budget }): Generator {
  return createOpenAIGenerator({ ...providerOf(env, settings.model), budget: settings.budget });
}

/** The configured LLM as a judge; null without a key. */
export function openLlmJudge(env: Environment, settings: { model: string | null; budget: Budget }): LlmJudge | null {
  if (!env.OPENAI_API_KEY) return null;
  return createLlmJudge({ ...providerOf(env, settings.model), budget: settings.budget });
}

function providerOf(env: Environment, wanted: string | null) {
  if (!env.OPENAI_API_KEY)
    throw new FunprmError(
      "GENERATOR_UNCONFIGURED",
      "no LLM is configured: set OPENAI_API_KEY (and OPENAI_BASE_URL for another provider than OpenAI), or give --replay FILE",
    );
  const models = env.LLM_MODELS.split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
  const model = wanted ?? models[0];
  if (model === undefined)
    throw new FunprmError("GENERATOR_UNCONFIGURED", "LLM_MODELS is not set: name the model to sample from");
  if (!models.includes(model))
    throw new FunprmError(
      "BAD_REPO_CONFIG",
      `.github/funprm.yml: llm.model ${model} is none of the operator's models (${models.join(", ")})`,
    );
  return {
    apiKey: env.OPENAI_API_KEY,
    baseUrl: env.OPENAI_BASE_URL ?? null,
    model,
    price: pricesOf(env)[model] ?? null,
    clock: systemClock,
  };
}

const priceTable = z.record(
  z.string(),
  z.strictObject({ inputPerMillion: z.number().min(0), outputPerMillion: z.number().min(0) }),
);

function pricesOf(env: Environment): z.infer<typeof priceTable> {
  if (!env.LLM_PRICES) return {};
  return jsonSetting("LLM_PRICES", () => priceTable.parse(JSON.parse(readFileSync(env.LLM_PRICES!, "utf8"))));
}

function jsonSetting<T>(name: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new FunprmError("BAD_CONFIG", `${name}: ${error instanceof Error ? error.message.split("\n")[0] : error}`);
  }
}

/** PEM of the key that signs manifests; null when none is configured. `BAD_CONFIG` when it is not one. */
export function signingKeyOf(env: Environment): string | null {
  const path = env.SIGNING_KEY_PATH;
  if (path === undefined) return null;
  let pem: string;
  try {
    pem = readFileSync(path, "utf8");
  } catch {
    throw new FunprmError("BAD_CONFIG", `SIGNING_KEY_PATH: ${path} cannot be read; give the .pem file of the key`);
  }
  signingKey(pem);
  return pem;
}

/** Seals manifests of this version of the program. */
export function sealerOf(env: Environment): SolveIssuePorts["seal"] {
  const key = signingKeyOf(env);
  return (manifest) => sealManifest({ ...manifest, funprm: packageManifest.version }, key);
}

/** Folders of the operator's test environments, by the name that a repository gives. */
export function environments(env: Environment): (name: string) => string {
  const folders = jsonSetting("TEST_ENVIRONMENTS", () =>
    z.record(z.string(), z.string()).parse(JSON.parse(env.TEST_ENVIRONMENTS)),
  );
  return (name) => {
    const folder = folders[name];
    if (folder === undefined)
      throw new FunprmError(
        "BAD_REPO_CONFIG",
        `.github/funprm.yml: tests.environment ${name} is none of the operator's environments (${Object.keys(folders).join(", ") || "none is set"})`,
      );
    return folder;
  };
}

/** The sandbox of this machine; null, with a line in the log, when it has none: then nothing is executed. */
export async function openJudge(env: Environment, log: Log): Promise<Judge | null> {
  const judge = await createSandboxJudge({ weakestTier: env.SANDBOX_WEAKEST_TIER as 0 | 1 | 2 });
  if (judge.sandbox.tier < 3) return judge;
  log.warn("no sandbox: candidates are not executed", { reason: judge.sandbox.message });
  return null;
}

function loggerOf(env: Environment): Log {
  const secrets = [env.OPENAI_API_KEY, env.WORKER_TOKEN, env.WEBHOOK_SECRET, env.OPERATOR_TOKEN].filter(
    (secret) => secret !== undefined,
  );
  return createLog({ level: env.LOG_LEVEL, secrets });
}

/** Keys for markers and links come from the webhook secret: nothing more to configure, and each use has its own. */
function derive(secret: string, purpose: string): string {
  return createHmac("sha256", secret).update(`funprm ${purpose}`).digest("hex");
}

export async function serve(): Promise<{ url: string; stop(): Promise<void> }> {
  const env = readEnvironment();
  const identity = appIdentity(env);
  return await start(env, identity, {
    log: loggerOf(env),
    apiUrl: env.GITHUB_API_URL,
    generator: (settings) => openGenerator(env, settings),
    llmJudge: (settings) => openLlmJudge(env, settings),
    publicUrl: env.PUBLIC_URL ?? null,
    open: false,
    pacing: undefined,
  });
}

type StartOptions = {
  log: Log;
  apiUrl: string;
  generator: SolveIssuePorts["generator"];
  llmJudge: SolveIssuePorts["llmJudge"];
  publicUrl: string | null;
  open: boolean;
  pacing: { spacingMs: number; perMinute: number; perHour: number } | undefined;
};

async function start(
  env: Environment,
  identity: ReturnType<typeof appIdentity>,
  options: StartOptions,
): Promise<{ url: string; runs: RunStore; learning: LearningStore; stop(): Promise<void> }> {
  const { log } = options;
  const model: RewardModel = await openRewardModel(env.MODEL_DIR ?? EMBEDDED_MODEL);
  const bundles = openBundles();
  const judge = await openJudge(env, log);
  const { jobs, runs, reviews, learning, reports, models, close } = await openDatabase({
    path: env.DATABASE_PATH,
    now: () => systemClock.now(),
    random: (bytes) => randomBytes(bytes),
  });
  const active = createActiveModel({ registry: models, embedded: model, open: openRewardModel, log });
  const chooseScorer = createScorerChoice({
    embedded: (scored) => {
      // An operator who names a bundle means that one.
      if (env.MODEL_DIR !== undefined) return Promise.resolve(model);
      return scored === "functions" ? bundles.bundled(REVIEW_MODEL) : active.model();
    },
    worker: env.WORKER_URL === undefined ? null : () => openWorker(env.WORKER_URL!, env),
    clock: systemClock,
    log,
  });
  const linkKey = derive(identity.webhookSecret, "links");
  let address = options.publicUrl;
  const link = (runId: string): string | null => {
    if (address === null) return null;
    const expires = Math.floor(systemClock.now().getTime() / 1000) + LINK_DAYS * 86_400;
    // The link is posted again at every edit: rounded to a day, the same text is no edit.
    return `${address}/runs/${runId}${options.open ? "" : `?${signLink(linkKey, runId, expires - (expires % 86_400))}`}`;
  };
  const solve: SolveIssuePorts = {
    host: createGitHost({
      appId: identity.appId,
      privateKey: identity.privateKey,
      baseUrl: options.apiUrl,
      clock: systemClock,
      ...(options.pacing ? { pacing: options.pacing } : {}),
    }),
    runs,
    workspace: createWorkspace(),
    syntax: await createSyntax(),
    model,
    bundled: bundles.bundled,
    judge,
    clock: systemClock,
    log,
    parseConfig: parseRepoConfig,
    generator: options.generator,
    llmJudge: options.llmJudge,
    environment: environments(env),
    matches: matchesGlob,
    seal: sealerOf(env),
    markerKey: derive(identity.webhookSecret, "markers"),
    link,
  };
  const app = await startApp({
    jobs,
    runs,
    reviews,
    learning,
    reports,
    artifacts,
    snapshots: snapshotStore(
      { learning, files: createFiles() },
      resolve(invocationFolder(), env.LEARNING_DIR, SNAPSHOTS),
    ),
    clock: systemClock,
    log,
    solve,
    chooseScorer,
    models,
    // A demo's labels are nobody's.
    retrain: options.open ? null : retrainer({ models, learning, reviews }, log),
    register: funprm,
    identity,
    listen: { host: env.HOST, port: env.PORT, webhookPath: env.WEBHOOK_PATH },
    pages: { linkKey, operatorToken: env.OPERATOR_TOKEN ?? null, open: options.open },
    concurrency: env.CONCURRENCY,
    retentionDays: env.RETENTION_DAYS,
    closed: async () => {
      await active.dispose();
      await bundles.dispose();
      await model.dispose();
      await close();
    },
  });
  if (options.open) address = app.url;
  return { ...app, runs, learning };
}

export async function openJobs() {
  const env = readEnvironment();
  return await openDatabase({
    path: env.DATABASE_PATH,
    now: () => systemClock.now(),
    random: (bytes) => randomBytes(bytes),
  });
}

/** Address of a run page that opens for so many hours. */
export function linkFor(run: string, hours: number): string {
  const env = readEnvironment();
  if (!env.PUBLIC_URL)
    throw new FunprmError("BAD_CONFIG", "PUBLIC_URL is not set: without a public address there is nothing to link to");
  const expires = Math.floor(systemClock.now().getTime() / 1000 + hours * 3600);
  return `${env.PUBLIC_URL}/runs/${run}?${signLink(derive(appIdentity(env).webhookSecret, "links"), run, expires)}`;
}

/** The checks of `funprm doctor`, cheapest first. */
export function doctorChecks(): { name: string; run(): Promise<string> }[] {
  const env = () => readEnvironment();
  const needed = manifestPermissions();
  const app = async () => {
    const { appId, privateKey } = appIdentity(env());
    const client = createGitHubClient({ appId, privateKey, baseUrl: env().GITHUB_API_URL, clock: systemClock });
    return await client.asApp(
      "read the app",
      async (parameters) => (await client.octokit.rest.apps.getAuthenticated(parameters)).data,
    );
  };
  return [
    { name: "configuration", run: async () => `listens on ${env().HOST}:${env().PORT}` },
    { name: "webhook secret", run: async () => `${appIdentity(env()).webhookSecret.length} characters` },
    {
      name: "private key",
      run: async () => `${createPrivateKey(appIdentity(env()).privateKey).asymmetricKeyType} key`,
    },
    {
      name: "app on GitHub",
      run: async () => {
        const data = await app();
        return `${data?.name} (id ${data?.id})`;
      },
    },
    {
      name: "permissions",
      run: async () => {
        const granted = ((await app())?.permissions ?? {}) as Record<string, string>;
        const missing = Object.entries(needed).filter(
          ([name, level]) => !(granted[name] === level || granted[name] === "write" || granted[name] === "admin"),
        );
        if (missing.length > 0)
          throw new FunprmError(
            "BAD_CONFIG",
            `the app lacks ${missing.map(([name, level]) => `${name}: ${level}`).join(", ")}; grant them on its settings page, then accept the change in each installation`,
          );
        return Object.keys(needed).join(", ");
      },
    },
    {
      name: "model",
      run: async () => {
        const { MODEL_DIR } = env();
        const folders = MODEL_DIR === undefined ? [EMBEDDED_MODEL, bundledModel(REVIEW_MODEL)] : [MODEL_DIR];
        const said: string[] = [];
        for (const folder of folders) {
          const model = await openRewardModel(folder);
          await model.dispose();
          said.push(`${model.info.name} ${model.info.version}, sha256 ${model.info.sha256.slice(0, 12)}`);
        }
        return `${said.join("; ")}; parity rows hold`;
      },
    },
    {
      name: "gpu-worker",
      run: async () => {
        const { WORKER_URL } = env();
        if (WORKER_URL === undefined) return "none: the embedded model scores (WORKER_URL is not set)";
        const { info } = await openWorker(WORKER_URL, env());
        return `${info.name} ${info.version}, sha256 ${info.sha256.slice(0, 12)}, at ${new URL(WORKER_URL).host}`;
      },
    },
    {
      name: "database",
      run: async () => {
        const database = await openJobs();
        const counts = await database.jobs.counts();
        await database.close();
        return Object.entries(counts)
          .map(([state, count]) => `${count} ${state}`)
          .join(", ");
      },
    },
    {
      name: "sandbox",
      run: async () => {
        const judge = await createSandboxJudge({ weakestTier: env().SANDBOX_WEAKEST_TIER as 0 | 1 | 2 });
        const { tier, message, probes } = judge.sandbox;
        judge.dispose();
        if (tier === 3) throw new FunprmError("SANDBOX_UNAVAILABLE", message ?? "no sandbox on this machine");
        return `tier ${tier}, ${probes.filter((probe) => probe.ok).length} of ${probes.length} probes`;
      },
    },
    {
      name: "signing key",
      run: async () => {
        const key = signingKeyOf(env());
        return key === null
          ? "none: manifests of runs are not signed (SIGNING_KEY_PATH is not set)"
          : `ed25519 ${keyIdOf(key)}`;
      },
    },
    {
      name: "LLM",
      run: async () => {
        const generator = openGenerator(env(), { model: null, budget: createBudget(1) });
        return `${generator.model}${pricesOf(env())[generator.model] ? "" : " (price unknown: budgets cannot stop)"}`;
      },
    },
  ];
}

/** What `app.yml` asks for, except what is optional. */
function manifestPermissions(): Record<string, string> {
  const manifest = z
    .object({ default_permissions: z.record(z.string(), z.string()) })
    .parse(parseYaml(readFileSync(`${ROOT}app.yml`, "utf8")));
  return manifest.default_permissions;
}

/** The demo's world: the app on an in-memory database, a fake GitHub in its own process, a scripted generator. */
export async function startDemo(options: { verbose: boolean; answers: string; worker?: boolean }) {
  const answers = await openReplay(options.answers);
  const given = readEnvironment();
  const worker = options.worker ? await startLocalWorker(GPU_WORKER, given.MODEL_DIR ?? EMBEDDED_MODEL) : null;
  const env: Environment = {
    ...given,
    DATABASE_PATH: ":memory:",
    HOST: "127.0.0.1",
    PORT: 0,
    // Without --worker the demo needs nothing outside, whatever is configured.
    WORKER_URL: worker?.url,
    WORKER_TOKEN: worker?.token,
  };
  const { privateKey, publicKey } = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  });
  const identity = {
    appId: 4242,
    privateKey,
    webhookSecret: createHash("sha256").update(randomBytes(32)).digest("hex"),
  };
  const github = await startFakeGitHub({
    id: identity.appId,
    slug: "funprm",
    name: "FunPRM",
    owner: "funprm-team",
    publicKey,
    webhookSecret: identity.webhookSecret,
    webhookUrl: null,
    permissions: {
      ...{ metadata: "read", contents: "write", issues: "write", pull_requests: "write", checks: "write" },
      actions: "read",
    },
    events: [
      ...["issues", "issue_comment", "pull_request", "pull_request_review", "pull_request_review_comment"],
      ...["check_run", "workflow_run", "push", "repository"],
    ],
  });
  try {
    const app = await start(env, identity, {
      log: createLog({ level: options.verbose ? "info" : "error", secrets: [] }),
      apiUrl: `${github.url}/api/v3`,
      generator: () => answers,
      llmJudge: () => null,
      publicUrl: null,
      open: true,
      // Loopback has no secondary limit to respect.
      pacing: { spacingMs: 0, perMinute: 10_000, perHour: 100_000 },
    });
    await github.act("webhook", { url: `${app.url}/api/github/webhooks` });
    const stop = async () => {
      await app.stop();
      await worker?.stop();
    };
    return { github, app: { ...app, stop }, runs: app.runs, learning: app.learning };
  } catch (error) {
    await github.stop();
    await worker?.stop();
    throw error;
  }
}
