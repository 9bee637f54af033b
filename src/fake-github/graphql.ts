/** GraphQL: the mutation that makes verified commits, checked against GitHub's own schema. */
import { schema as source } from "@octokit/graphql-schema";
import { buildSchema, type GraphQLSchema, parse, validate } from "graphql";
import { commitFiles } from "./changes-git.ts";
import * as git from "./git.ts";
import type { World } from "./state.ts";
import { Refusal } from "./types.ts";

let schema: GraphQLSchema | null = null;

type Input = {
  branch: { repositoryNameWithOwner: string; branchName: string };
  expectedHeadOid: string;
  message: { headline: string; body?: string };
  fileChanges: { additions?: { path: string; contents: string }[]; deletions?: { path: string }[] };
};

/** The reply's body; errors of a query that the schema does not know are protocol violations. */
export function answerGraphql(
  world: World,
  actor: string,
  allowed: (owner: string, repo: string) => boolean,
  body: { query?: string; variables?: { input?: Input } },
): object {
  const failure = (type: string, message: string) => ({
    data: { createCommitOnBranch: null },
    errors: [{ type, path: ["createCommitOnBranch"], locations: [{ line: 1, column: 1 }], message }],
  });
  schema ??= buildSchema(source.idl, { assumeValid: true, assumeValidSDL: true });
  const errors = validate(schema, parse(String(body.query)));
  if (errors.length > 0) {
    for (const error of errors) world.violation("request", "graphql", error.message);
    return { errors: errors.map((error) => ({ message: error.message })) };
  }
  const input = body.variables?.input;
  if (!String(body.query).includes("createCommitOnBranch") || !input) {
    world.violation("request", "graphql", "only createCommitOnBranch is answered");
    return { errors: [{ message: "not answered by the fake GitHub" }] };
  }
  const [owner = "", name = ""] = input.branch.repositoryNameWithOwner.split("/");
  if (!allowed(owner, name)) return failure("FORBIDDEN", "Resource not accessible by integration");
  const repo = world.repo(owner, name);
  const branch = input.branch.branchName.replace(/^refs\/heads\//, "");
  const head = git.branchHead(repo.gitDir, branch);
  if (head === null) return failure("NOT_FOUND", `Could not resolve to a Ref with the name "${branch}".`);
  if (head !== input.expectedHeadOid)
    return failure(
      "STALE_DATA",
      `Expected branch to point to "${input.expectedHeadOid}" but it did not. Pull and try again.`,
    );
  if (input.message.headline.trim() === "") return failure("UNPROCESSABLE", "A commit message is required.");
  const { additions = [], deletions = [] } = input.fileChanges;
  if ([...additions, ...deletions].some((one) => one.path.toLowerCase().startsWith(".github/workflows/")))
    return failure(
      "FORBIDDEN",
      "Refusing to allow a GitHub App to create or update workflow without `workflows` permission",
    );
  const message = [input.message.headline, input.message.body ?? ""].filter((part) => part !== "").join("\n\n");
  const files = [
    ...additions.map((one) => ({ path: one.path, content: Buffer.from(one.contents, "base64") })),
    ...deletions.map((one) => ({ path: one.path, content: null })),
  ];
  try {
    const oid = commitFiles(world, repo, { branch, parent: head, message, login: actor, files });
    return { data: { createCommitOnBranch: { commit: { oid } } } };
  } catch (error) {
    if (error instanceof Refusal) return failure("UNPROCESSABLE", error.message);
    throw error;
  }
}
