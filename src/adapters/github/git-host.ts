/** GitHub behind the `GitHost` port. */
import type { GitHost } from "../../ports.ts";
import { artifactCalls } from "./artifact-calls.ts";
import { checkCalls } from "./check-calls.ts";
import { createGitHubClient, type GitHubOptions } from "./client.ts";
import { hookCalls } from "./hook-calls.ts";
import { issueCalls } from "./issue-calls.ts";
import { outcomeCalls } from "./outcome-calls.ts";
import { pullCalls } from "./pull-calls.ts";
import { repositoryCalls } from "./repository-calls.ts";
import { threadCalls } from "./thread-calls.ts";

export function createGitHost(options: GitHubOptions): GitHost {
  const client = createGitHubClient(options);
  return {
    ...repositoryCalls(client),
    ...issueCalls(client),
    ...pullCalls(client),
    ...threadCalls(client),
    ...checkCalls(client, options.appId),
    ...hookCalls(client),
    ...outcomeCalls(client, options.appId),
    ...artifactCalls(client, options.baseUrl),
  };
}
