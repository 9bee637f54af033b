/** The only reader of `process.env`: the operator's settings, checked at start, refused with the cure. */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { FunprmError } from "../domain/errors.ts";

/** Where the person stands: npm changes the working directory to the package and leaves the real one in INIT_CWD. */
export function invocationFolder(): string {
  return process.env["INIT_CWD"] ?? process.cwd();
}

const port = z.coerce.number().int().min(0).max(65_535);

/** Every variable with its default and its meaning; `docs/configuration.md` is made from this. */
export const environmentSchema = z.object({
  APP_ID: z.coerce
    .number()
    .int()
    .positive()
    .optional()
    .describe("Id of the GitHub App, from its settings page. Needed by `serve` and `work`."),
  PRIVATE_KEY: z.string().min(1).optional().describe("Private key of the GitHub App: PEM, or PEM in base64."),
  PRIVATE_KEY_PATH: z.string().min(1).optional().describe("File with the private key, instead of PRIVATE_KEY."),
  WEBHOOK_SECRET: z
    .string()
    .min(1)
    .optional()
    .describe("Webhook secret of the GitHub App; at least 16 characters, never `development`."),
  WEBHOOK_PATH: z.string().startsWith("/").default("/api/github/webhooks").describe("Path of the webhook."),
  GITHUB_API_URL: z
    .url()
    .default("https://api.github.com")
    .describe("Base of GitHub's REST API; `https://HOST/api/v3` of an Enterprise Server."),
  HOST: z.string().default("127.0.0.1").describe("Address to listen on."),
  PORT: port.default(3000).describe("Port to listen on."),
  DATABASE_PATH: z
    .string()
    .min(1)
    .default("funprm.sqlite")
    .describe("SQLite file with jobs and runs; created when missing."),
  LEARNING_DIR: z
    .string()
    .min(1)
    .default("funprm-learning")
    .describe("Folder of training runs and of the bundles they made; created when missing."),
  MODEL_DIR: z
    .string()
    .min(1)
    .optional()
    .describe("Folder of the reward model's bundle, for candidates and reviews; the embedded ones when unset."),
  WORKER_URL: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe(
      "Address of a gpu-worker that scores instead of the embedded model; the latter stands in while it is down.",
    ),
  WORKER_TOKEN: z
    .string()
    .min(16)
    .optional()
    .describe("Bearer token of that worker: the text of its `--token-file`. Needed with WORKER_URL and `--worker`."),
  OPENAI_BASE_URL: z.url().optional().describe("Base of an OpenAI-compatible API, for `solve` and `serve`."),
  OPENAI_API_KEY: z.string().min(1).optional().describe("Key of that API. Without one no LLM is called."),
  LLM_MODELS: z
    .string()
    .default("")
    .describe("Models that repositories may choose from, separated by commas; the first is the default."),
  LLM_PRICES: z
    .string()
    .optional()
    .describe('JSON file of prices: {"MODEL": {"inputPerMillion": 1.1, "outputPerMillion": 4.4}}.'),
  TEST_ENVIRONMENTS: z
    .string()
    .default("{}")
    .describe('JSON of folders with dependencies for the sandbox: {"NAME": "/path"}.'),
  PUBLIC_URL: z
    .url()
    .optional()
    .describe("Public address of this app, for links to run pages; unset = no link is posted."),
  SIGNING_KEY_PATH: z
    .string()
    .min(1)
    .optional()
    .describe(
      "File with an ed25519 private key in PEM that signs the manifest of every run; unset = manifests are not signed, and say so.",
    ),
  OPERATOR_TOKEN: z.string().min(16).optional().describe("Opens every run page; at least 16 characters."),
  SANDBOX_WEAKEST_TIER: z.coerce
    .number()
    .int()
    .min(0)
    .max(2)
    .default(2)
    .describe("Weakest sandbox that may run candidate code: 0 gVisor, 1 bubblewrap, 2 Landlock."),
  LOG_LEVEL: z
    .enum(["debug", "info", "warn", "error", "silent"])
    .default("info")
    .describe("Least level that is logged."),
  RETENTION_DAYS: z.coerce
    .number()
    .int()
    .min(1)
    .default(180)
    .describe("Days after which only hashes, states and costs of a finished run are kept."),
  CONCURRENCY: z.coerce.number().int().min(1).max(64).default(2).describe("Runs at one time."),
});
export type Environment = z.infer<typeof environmentSchema>;

/** Throws `BAD_CONFIG` naming the variable, what is wrong with it and where to get it. */
export function readEnvironment(): Environment {
  const given = Object.fromEntries(Object.entries(process.env).filter(([, value]) => value !== ""));
  const checked = environmentSchema.safeParse(given);
  if (checked.success) return checked.data;
  const [problem] = checked.error.issues;
  const name = String(problem!.path[0]);
  const meaning = environmentSchema.shape[name as keyof Environment]?.description ?? "";
  throw new FunprmError("BAD_CONFIG", `${name}: ${problem!.message}. ${meaning}`);
}

export type AppIdentity = { appId: number; privateKey: string; webhookSecret: string };

/** What `serve` and `doctor` need beside the defaults. */
export function appIdentity(env: Environment): AppIdentity {
  if (env.APP_ID === undefined) throw missing("APP_ID", "it stands at the top of the GitHub App's settings page");
  return { appId: env.APP_ID, privateKey: privateKey(env), webhookSecret: webhookSecret(env) };
}

function privateKey(env: Environment): string {
  let text = env.PRIVATE_KEY;
  if (text === undefined && env.PRIVATE_KEY_PATH !== undefined) {
    try {
      text = readFileSync(env.PRIVATE_KEY_PATH, "utf8");
    } catch {
      throw new FunprmError(
        "BAD_CONFIG",
        `PRIVATE_KEY_PATH: ${env.PRIVATE_KEY_PATH} cannot be read; give the .pem file of the GitHub App`,
      );
    }
  }
  if (text === undefined)
    throw missing("PRIVATE_KEY", "generate one on the GitHub App's settings page, or set PRIVATE_KEY_PATH to its file");
  const pem = text.includes("-----BEGIN") ? text.replaceAll("\\n", "\n") : Buffer.from(text, "base64").toString("utf8");
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(pem))
    throw new FunprmError("BAD_CONFIG", "PRIVATE_KEY: neither PEM nor PEM in base64; copy the whole .pem file");
  return pem;
}

function webhookSecret(env: Environment): string {
  const secret = env.WEBHOOK_SECRET;
  if (secret === undefined)
    throw missing(
      "WEBHOOK_SECRET",
      "set the same random text here and on the GitHub App's settings page (openssl rand -hex 32)",
    );
  if (secret === "development" || secret.length < 16) {
    throw new FunprmError(
      "BAD_CONFIG",
      "WEBHOOK_SECRET: too weak, anybody could send webhooks; set a random text of at least 16 characters here and on the GitHub App's settings page",
    );
  }
  return secret;
}

function missing(name: string, where: string): FunprmError {
  return new FunprmError("BAD_CONFIG", `${name} is not set: ${where}`);
}
