// Requests to the master this page came from. A refusal becomes one sentence.
export class Refusal extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

// The page's own address may carry a user and a secret, which fetch() would refuse to repeat.
export function target(path) {
  return new URL(path, location.origin);
}

export async function get(path, signal) {
  let answer;
  try {
    answer = await fetch(target(path), {
      headers: { Accept: "application/json" }, cache: "no-store", credentials: "same-origin", signal,
    });
  } catch (problem) {
    if (problem.name === "AbortError") throw problem;
    throw new Refusal(0, "The master cannot be reached; this page tries again by itself.");
  }
  if (answer.ok) return answer.json();
  const sentence = (await answer.text()).trim().slice(0, 500);
  if (answer.status === 401) {
    throw new Refusal(401, "The master does not know you. Reload the page to sign in.");
  }
  throw new Refusal(answer.status, sentence || `The master answered ${answer.status}.`);
}

export function filesPath(agentId, page, query) {
  return `/agent/${encodeURIComponent(agentId)}/files/${page}?${new URLSearchParams(query)}`;
}
