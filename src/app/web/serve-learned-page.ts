/** `/learned`: what the app learned in the last 30 days, for the operator alone; forbidden and unknown look the same. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { learnedPage } from "../../evaluation/learned-report.ts";
import { type ReportPorts, reportLearning } from "../../flows/report-learning.ts";
import { isOperator, sendPage } from "./serve-run-page.ts";

const DAYS = 30;
/** The default of `review.min_precision`. */
const WANTED = 0.6;

export async function serveLearnedPage(
  options: ReportPorts & { operatorToken: string | null; open: boolean },
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  const url = new URL(request.url ?? "/", "http://learned.page");
  if (url.pathname !== "/learned" || request.method !== "GET") return false;
  if (!options.open && !isOperator(options.operatorToken, request.headers.authorization)) return false;
  sendPage(response, learnedPage(await reportLearning(options, { days: DAYS, repositoryId: null, wanted: WANTED })));
  return true;
}
