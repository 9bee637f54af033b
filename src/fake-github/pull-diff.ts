/** What a pull request changes: its head against the merge base with its base branch. */
import * as git from "./git.ts";
import type { Pull, Repo } from "./types.ts";

export function pullDiff(repo: Repo, pull: Pull, headSha = pull.headSha): git.FileDiff[] {
  // A merged base holds the head itself: the recorded base is the one that the diff was shown against.
  return git.diff(repo.gitDir, git.mergeBase(repo.gitDir, pull.baseSha, headSha), headSha);
}
