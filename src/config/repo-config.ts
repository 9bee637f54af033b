/** Reads `.github/funprm.yml`: unknown keys are reported with their line, wrong values refused with theirs. */
import { isMap, LineCounter, parseDocument } from "yaml";
import { z } from "zod";
import { FunprmError } from "../domain/errors.ts";
import {
  BUNDLED_MODELS,
  DEFAULT_REPO_CONFIG,
  leaves,
  type ParsedRepoConfig,
  type RepoConfig,
} from "../domain/repo-config.ts";
import { SELECT_RULES } from "../domain/select.ts";
import { ARTIFACT_KINDS } from "../domain/test-report.ts";

export const CONFIG_PATH = ".github/funprm.yml";
const LONGEST = 64 * 1024;

const globs = z.array(z.string().min(1).max(400)).max(200);

/** GitHub's secondary limits and a reader's patience (product.md section 2, pain 12). */
const inlineComments = z
  .int()
  .min(0)
  .max(20)
  .describe("Inline comments a push; 0, the default until their precision is shown, leaves all to the check run.");
const minPrecision = z
  .number()
  .min(0)
  .max(1)
  .describe(
    "Least share of findings that are right: estimates must promise it, and inline comments stop while judged findings fall short of it.",
  );
const rounds = z
  .int()
  .min(0)
  .max(100)
  .describe("Pushes of one pull request that may get inline comments; after them only the check run.");
const failOn = z.enum(["none", "finding"]).describe("`finding` makes a review with findings a failed check.");

/** Settings that decide when a pull request is reviewed at all, or what its one check says, know no path. */
const OF_A_PULL_REQUEST = new Set(["auto", "on_push", "drafts", "ignore_paths", "ignore_authors", "neutral_as"]);

/** Every key is optional: what is not given has its default. */
export const repoConfigSchema = z
  .strictObject({
    version: z.literal(1).describe("Version of this file's form."),
    fix: z
      .strictObject({
        enabled: z.boolean().describe("Whether a label or command may start a run."),
        label: z.string().min(1).max(50).describe("The label that starts a run."),
        min_role: z.enum(["write", "admin"]).describe("Least role of who may start a run."),
        candidates: z.strictObject({ max: z.int().min(1).max(64).describe("Candidates a run.") }).partial(),
        draft: z.boolean().describe("Open pull requests as drafts."),
        max_open_prs: z.int().min(1).max(100).describe("Open pull requests of the app, over all issues."),
        blocked_paths: globs.describe("Globs that no patch may touch, beside the built-in rules."),
        allowed_paths: globs.describe("Globs that a patch must stay inside; empty = everywhere."),
        select: z.enum(SELECT_RULES).describe("Rule that picks one of the candidates."),
        add_test: z
          .boolean()
          .describe("Add the test that the model wrote from the issue and that separates the chosen candidate."),
      })
      .partial(),
    review: z
      .strictObject({
        auto: z.enum(["ready", "never"]).describe("`ready` reviews pull requests when they are opened or made ready."),
        on_push: z.boolean().describe("Review again when commits are pushed."),
        drafts: z.boolean().describe("Review drafts too."),
        max_inline: inlineComments,
        min_precision: minPrecision,
        rounds,
        ignore_paths: globs.describe("Globs of files that are listed and not scored."),
        ignore_authors: z
          .array(z.string().min(1).max(100))
          .max(100)
          .describe("Logins whose pull requests are left alone."),
      })
      .partial(),
    check: z
      .strictObject({
        fail_on: failOn,
        neutral_as: z
          .enum(["neutral", "action_required"])
          .describe("What the check says where it can say neither success nor failure."),
      })
      .partial(),
    paths: z
      .array(
        z.strictObject({
          match: z.string().min(1).max(400).describe("Glob of files with settings of their own."),
          review: z
            .strictObject({ max_inline: inlineComments, min_precision: minPrecision, rounds })
            .partial()
            .optional(),
          check: z.strictObject({ fail_on: failOn }).partial().optional(),
        }),
      )
      .max(100)
      .describe("Settings of some paths; of several that match, the last one that gives a setting holds for it."),
    prm: z
      .strictObject({
        backend: z
          .enum(["embedded", "llm-judge"])
          .describe("What scores functions: the reward model here, or the LLM's own P(yes) to one fixed question."),
        model: z
          .enum(BUNDLED_MODELS)
          .nullable()
          .describe("One of the reward models that ship with funprm; null = the operator's."),
      })
      .partial(),
    llm: z
      .strictObject({
        model: z
          .string()
          .min(1)
          .max(200)
          .nullable()
          .describe("One of the operator's models; null = the operator's first."),
        temperature: z.number().min(0).max(2).describe("Sampling temperature."),
      })
      .partial(),
    budget: z
      .strictObject({ usd_per_run: z.number().positive().max(1000).describe("Dollars that one run may spend.") })
      .partial(),
    commit: z
      .strictObject({
        signoff: z.union([z.literal("bot"), z.literal(false)]).describe("`bot` signs commits off as the app."),
      })
      .partial(),
    pr: z
      .strictObject({
        title: z
          .string()
          .min(1)
          .max(200)
          .regex(/\{title\}/, "must hold {title}")
          .describe("Title; {title} and {number} are the issue's."),
      })
      .partial(),
    learn: z
      .strictObject({
        collect: z
          .enum(["none", "app", "all"])
          .describe(
            "Whose pull requests become labels: `app` the app's own and those that close an issue it has worked on, `all` everybody's.",
          ),
        shadow: z
          .number()
          .min(0)
          .max(1)
          .describe("Share of runs whose runner-up is judged too, so that ranking is measured without selection bias."),
        artifacts: z
          .array(
            z.strictObject({
              name: z.string().min(1).max(200).describe("Glob of names of artifacts."),
              kind: z
                .enum(ARTIFACT_KINDS)
                .describe(
                  "`junit`: JUnit XML. `coverage`: Cobertura XML, lcov, or JSON of `coverage json --show-contexts`, which alone says which test ran what.",
                ),
            }),
          )
          .max(10)
          .describe(
            "Artifacts of workflow runs (GitHub Actions) that hold test results and coverage: labels where the sandbox cannot run the tests, and beside it where it can.",
          ),
        report: z
          .union([z.int().min(1), z.string().regex(/^[^,]{1,50}$/, "must be a label without a comma")])
          .nullable()
          .describe(
            "Number or label of the open issue that gets a comment each month on what was learned; null = none.",
          ),
      })
      .partial(),
    tests: z
      .strictObject({
        runner: z
          .enum(["none", "sandbox"])
          .describe("`sandbox` runs the repository's tests on base and on candidates."),
        command: z
          .array(z.string().max(1000))
          .min(1)
          .max(100)
          .nullable()
          .describe("argv of the test command; null = found."),
        environment: z
          .string()
          .min(1)
          .max(100)
          .nullable()
          .describe("Operator-defined environment with the dependencies."),
        timeout_s: z.int().min(1).max(3600).describe("Seconds for one run of the tests."),
      })
      .partial(),
  })
  .partial();

/** @param text null when the repository has no such file. Throws `BAD_REPO_CONFIG`, one line with the line number. */
export function parseRepoConfig(text: string | null): ParsedRepoConfig {
  const parsed: ParsedRepoConfig = { config: structuredClone(DEFAULT_REPO_CONFIG), origins: {}, problems: [] };
  if (text === null) return parsed;
  if (text.length > LONGEST) throw refuse(1, `longer than ${LONGEST / 1024} KB; shorten it`);
  const counter = new LineCounter();
  const document = parseDocument(text, { lineCounter: counter, uniqueKeys: true, prettyErrors: false });
  const lineAt = (offset: number) => counter.linePos(offset).line;
  const [problem] = document.errors;
  if (problem) throw refuse(lineAt(problem.pos[0]), `not valid YAML (${problem.message.split("\n")[0]})`);
  // Aliases can grow without bound; no setting needs one.
  let values: unknown;
  try {
    values = document.contents === null ? {} : document.toJS({ maxAliasCount: 0 });
  } catch {
    throw refuse(1, "aliases (*name) are not allowed; write the value out");
  }
  if (document.contents !== null && !isMap(document.contents)) throw refuse(1, "must be a table of settings");
  const lineOf = (path: readonly PropertyKey[]): number => {
    for (let depth = path.length; depth > 0; depth--) {
      const node = document.getIn(path.slice(0, depth), true) as { range?: [number, number, number] } | undefined;
      if (node?.range) return lineAt(node.range[0]);
    }
    return 1;
  };
  const checked = repoConfigSchema.safeParse(values);
  const unknown: PropertyKey[][] = [];
  if (!checked.success) {
    for (const issue of checked.error.issues) {
      if (issue.code === "unrecognized_keys") for (const key of issue.keys) unknown.push([...issue.path, key]);
      else throw refuse(lineOf(issue.path), `${issue.path.join(".") || "the file"}: ${issue.message}`);
    }
  }
  for (const path of unknown) {
    parsed.problems.push({ line: lineOf(path), message: unknownKey(path) });
    document.deleteIn(path);
  }
  const known =
    unknown.length === 0 ? checked.data! : repoConfigSchema.parse(document.toJS({ maxAliasCount: 0 }) ?? {});
  for (const { key, value } of leaves(known)) {
    if (value === undefined) continue;
    assign(parsed.config, key.split("."), value);
    parsed.origins[key] = "repository";
  }
  return parsed;
}

/** What is wrong with a key that no code reads there, and what is read in its place. */
function unknownKey(path: readonly PropertyKey[]): string {
  const key = path.map(String).join(".");
  const [list, , section, name] = path.map(String);
  if (list === "paths" && name !== undefined && OF_A_PULL_REQUEST.has(name))
    return `unknown key ${key}: ${section}.${name} holds for whole pull requests, set it outside paths`;
  const known = keysAt(repoConfigSchema, path.slice(0, -1));
  return known.length === 0 ? `unknown key ${key}` : `unknown key ${key}; known there: ${known.join(", ")}`;
}

function keysAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  if (schema instanceof z.ZodOptional) return keysAt(schema.unwrap() as z.ZodType, path);
  const [first, ...rest] = path;
  if (schema instanceof z.ZodArray) return keysAt(schema.element as z.ZodType, rest);
  if (!(schema instanceof z.ZodObject)) return [];
  const inner = schema.shape as Record<string, z.ZodType>;
  return first === undefined ? Object.keys(inner) : keysAt(inner[String(first)]!, rest);
}

function assign(config: RepoConfig, path: readonly string[], value: unknown): void {
  let place = config as unknown as Record<string, unknown>;
  for (const name of path.slice(0, -1)) place = place[name] as Record<string, unknown>;
  place[path.at(-1)!] = value;
}

function refuse(line: number, why: string): FunprmError {
  return new FunprmError("BAD_REPO_CONFIG", `${CONFIG_PATH} line ${line}: ${why}`);
}
