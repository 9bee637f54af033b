/** Settings of one repository, `.github/funprm.yml` of its default branch (rulings 26). Keys as in the file. */
import type { SelectRule } from "./select.ts";
import type { ArtifactKind } from "./test-report.ts";

export type RepoConfig = {
  version: 1;
  fix: {
    enabled: boolean;
    label: string;
    min_role: "write" | "admin";
    candidates: { max: number };
    draft: boolean;
    max_open_prs: number;
    blocked_paths: string[];
    allowed_paths: string[];
    select: SelectRule;
    add_test: boolean;
  };
  review: {
    auto: "ready" | "never";
    on_push: boolean;
    drafts: boolean;
    max_inline: number;
    min_precision: number;
    rounds: number;
    ignore_paths: string[];
    ignore_authors: string[];
  };
  check: { fail_on: "none" | "finding"; neutral_as: "neutral" | "action_required" };
  paths: PathSettings[];
  /** `model` null = the operator's. */
  prm: { backend: "embedded" | "llm-judge"; model: BundledModel | null };
  llm: { model: string | null; temperature: number };
  budget: { usd_per_run: number };
  commit: { signoff: "bot" | false };
  pr: { title: string };
  /**
   * What becomes of pull requests: of the app's and of those that close an issue with a run, of all, or of none. `report`: number
   * or label of the issue that hears each month what was learned; null: none. `artifacts`: those of CI that are read, by glob.
   */
  learn: {
    collect: "none" | "app" | "all";
    shadow: number;
    artifacts: { name: string; kind: ArtifactKind }[];
    report: number | string | null;
  };
  tests: { runner: "none" | "sandbox"; command: string[] | null; environment: string | null; timeout_s: number };
};

/** What can differ from path to path: of several entries that match, the last one that gives a setting holds for it. */
export type PathSettings = {
  match: string;
  review?: Partial<Pick<RepoConfig["review"], "max_inline" | "min_precision" | "rounds">>;
  check?: Partial<Pick<RepoConfig["check"], "fail_on">>;
};

/** The bundles that ship with funprm, by the names of their folders in `models/`. */
export const BUNDLED_MODELS = ["funprm-mini", "funprm-mini-corrected", "funprm-mini-review"] as const;
export type BundledModel = (typeof BUNDLED_MODELS)[number];

export type ParsedRepoConfig = {
  config: RepoConfig;
  /** Dotted key → where its value comes from. */
  origins: Record<string, "default" | "repository">;
  /** Keys that no code reads, with their line: said, never an error. */
  problems: { line: number; message: string }[];
};

export const DEFAULT_REPO_CONFIG: RepoConfig = {
  version: 1,
  fix: {
    enabled: true,
    label: "funprm:fix",
    min_role: "write",
    candidates: { max: 8 },
    draft: true,
    max_open_prs: 3,
    blocked_paths: [],
    allowed_paths: [],
    select: "hybrid",
    add_test: false,
  },
  review: {
    auto: "ready",
    on_push: true,
    drafts: false,
    max_inline: 0,
    min_precision: 0.6,
    rounds: 3,
    ignore_paths: [],
    ignore_authors: ["renovate[bot]", "dependabot[bot]"],
  },
  check: { fail_on: "none", neutral_as: "neutral" },
  paths: [],
  prm: { backend: "embedded", model: null },
  llm: { model: null, temperature: 0.8 },
  budget: { usd_per_run: 2 },
  commit: { signoff: false },
  pr: { title: "fix: {title} (#{number})" },
  learn: { collect: "app", shadow: 0, artifacts: [], report: null },
  tests: { runner: "none", command: null, environment: null, timeout_s: 900 },
};

/** The settings of a review that hold for one file. */
export type PathReview = {
  max_inline: number;
  /** The glob whose files share `max_inline`; empty for the repository's own. */
  counted: string;
  min_precision: number;
  rounds: number;
  fail_on: RepoConfig["check"]["fail_on"];
};

/** `matches` says whether a glob fits a path; each path is matched once. */
export function reviewSettings(
  config: RepoConfig,
  matches: (glob: string, path: string) => boolean,
): (path: string) => PathReview {
  const known = new Map<string, PathReview>();
  return (path) => {
    const at = known.get(path) ?? settingsOf(config, (glob) => matches(glob, path));
    known.set(path, at);
    return at;
  };
}

function settingsOf(config: RepoConfig, matches: (glob: string) => boolean): PathReview {
  const { review, check } = config;
  const at: PathReview = { ...review, ...check, counted: "" };
  for (const own of config.paths) {
    if (!matches(own.match)) continue;
    if (own.review?.max_inline !== undefined) at.counted = own.match;
    Object.assign(at, own.review, own.check);
  }
  const { max_inline, counted, min_precision, rounds, fail_on } = at;
  return { max_inline, counted, min_precision, rounds, fail_on };
}

/** Rows of `/funprm config`: every effective value with its origin. */
export function describeConfig(parsed: ParsedRepoConfig): { key: string; value: string; origin: string }[] {
  return leaves(parsed.config).map(({ key, value }) => ({
    key,
    value: JSON.stringify(value),
    origin: parsed.origins[key] ?? "default",
  }));
}

/** Leaves of nested settings as dotted keys; a list is a leaf. */
export function leaves(value: object, prefix = ""): { key: string; value: unknown }[] {
  return Object.entries(value).flatMap(([name, inner]) => {
    const key = prefix === "" ? name : `${prefix}.${name}`;
    return inner !== null && typeof inner === "object" && !Array.isArray(inner)
      ? leaves(inner, key)
      : [{ key, value: inner }];
  });
}
