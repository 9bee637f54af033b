/** REST: check runs and their limits (product.md 4.1). */
import { type Call, created, type Handler, listReply, ok, page, repoOf } from "./call.ts";
import { checkWritable } from "./changes.ts";
import * as git from "./git.ts";
import type { World } from "./state.ts";
import { type Annotation, type CheckRun, Refusal, type Repo } from "./types.ts";
import { checkRunHookView, checkRunView } from "./views-pull.ts";
import { emit } from "./webhooks.ts";

/** Login of the app whose check runs are `foreign`. */
const CI = "github-actions[bot]";
const LIMITS = { title: 255, summary: 65_535, text: 65_535, annotations: 50 };

function applyCheck(call: Call, run: CheckRun): void {
  const { body } = call;
  const output = body["output"] as
    | { title?: string; summary: string; text?: string; annotations?: Annotation[] }
    | undefined;
  const invalid = (message: string) => new Refusal(422, `Invalid request.\n\n${message}`);
  const actions = (body["actions"] ?? []) as CheckRun["actions"];
  if (actions.length > 3) throw invalid("No more than 3 items are allowed in actions.");
  for (const one of actions)
    if (one.label.length > 20 || one.description.length > 40 || one.identifier.length > 20)
      throw invalid("An action's label, description or identifier is too long.");
  if (output) {
    if (!output.title) throw invalid("output.title wasn't supplied.");
    for (const field of ["title", "summary", "text"] as const)
      if ((output[field] ?? "").length > LIMITS[field])
        throw invalid(`Only ${LIMITS[field]} characters are allowed in ${field}.`);
    if ((output.annotations ?? []).length > LIMITS.annotations)
      throw invalid("No more than 50 items are allowed in annotations.");
    run.title = output.title;
    run.summary = output.summary;
    run.text = output.text ?? null;
    run.annotations.push(...(output.annotations ?? []));
  }
  if (body["details_url"] !== undefined) run.detailsUrl = String(body["details_url"]);
  if (actions.length > 0) run.actions = actions;
  if (body["status"] !== undefined) run.status = body["status"];
  if (body["conclusion"] !== undefined) {
    run.conclusion = String(body["conclusion"]);
    run.status = "completed";
  }
  if (run.status === "completed" && run.conclusion === null)
    throw invalid("Must provide conclusion when status is completed.");
  if (run.status === "completed") run.completedAt ??= call.world.now();
}

function newCheck(world: World, wanted: Pick<CheckRun, "name" | "headSha" | "foreign">): CheckRun {
  return {
    ...wanted,
    id: world.nextId(),
    suiteId: world.nextId(),
    externalId: "",
    detailsUrl: null,
    status: "queued",
    conclusion: null,
    startedAt: world.now(),
    completedAt: null,
    title: null,
    summary: null,
    text: null,
    annotations: [],
    actions: [],
  };
}

/** Continuous integration, another app, says what it found at a commit; null: it has begun. */
export function foreignCheck(world: World, repo: Repo, name: string, headSha: string, conclusion: string | null): void {
  world.addUser(CI, "Bot");
  const run = newCheck(world, { name, headSha, foreign: true });
  run.status = conclusion === null ? "in_progress" : "completed";
  run.conclusion = conclusion;
  run.completedAt = conclusion === null ? null : world.now();
  repo.checkRuns.push(run);
  announceCheck(world, repo, run, conclusion === null ? "created" : "completed", CI);
}

export function announceCheck(
  world: World,
  repo: Repo,
  run: CheckRun,
  action: "created" | "completed" | "requested_action" | "rerequested",
  sender: string,
  extra: Record<string, unknown> = {},
): void {
  emit(world, repo, {
    event: "check_run",
    action,
    sender,
    payload: { check_run: checkRunHookView(world, repo, run), ...extra },
  });
}

export const checkHandlers: Record<string, Handler> = {
  "checks/create": (call) => {
    const repo = repoOf(call);
    checkWritable(repo);
    const headSha = String(call.body["head_sha"]);
    if (git.objectType(repo.gitDir, headSha) !== "commit")
      throw new Refusal(422, `No commit found for SHA: ${headSha}`);
    const run = newCheck(call.world, { name: String(call.body["name"]), headSha, foreign: false });
    run.externalId = String(call.body["external_id"] ?? "");
    applyCheck(call, run);
    repo.checkRuns.push(run);
    announceCheck(call.world, repo, run, "created", call.actor);
    if (run.status === "completed") announceCheck(call.world, repo, run, "completed", call.actor);
    return created(checkRunView(call.world, repo, run));
  },
  "checks/update": (call) => {
    const repo = repoOf(call);
    const run = call.world.checkRun(repo, Number(call.params["check_run_id"]));
    if (run.foreign) throw new Refusal(403, "Resource not accessible by integration");
    const copy = structuredClone(run);
    applyCheck(call, copy);
    const completed = run.status !== "completed" && copy.status === "completed";
    Object.assign(run, copy);
    if (completed) announceCheck(call.world, repo, run, "completed", call.actor);
    return ok(checkRunView(call.world, repo, run));
  },
  "checks/get": (call) => {
    const repo = repoOf(call);
    return ok(checkRunView(call.world, repo, call.world.checkRun(repo, Number(call.params["check_run_id"]))));
  },
  "checks/list-for-ref": (call) => {
    const repo = repoOf(call);
    const sha = git.resolveCommit(repo.gitDir, call.params["ref"]!);
    const name = call.query.get("check_name");
    const runs = repo.checkRuns.filter((one) => one.headSha === sha && (name === null || one.name === name));
    const { items, headers } = page(call, runs);
    return ok(
      { total_count: runs.length, check_runs: items.map((one) => checkRunView(call.world, repo, one)) },
      headers,
    );
  },
  "checks/list-annotations": (call) => {
    const repo = repoOf(call);
    const run = call.world.checkRun(repo, Number(call.params["check_run_id"]));
    return listReply(call, run.annotations, (one) => ({
      start_column: null,
      end_column: null,
      title: null,
      raw_details: null,
      blob_href: "",
      ...one,
    }));
  },
};
