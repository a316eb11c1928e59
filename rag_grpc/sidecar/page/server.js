// How the page talks with its server.

// What went wrong, in the contract's words.
export class Problem extends Error {
  constructor(problem) {
    super(problem.message);
    this.reason = problem.reason;
    this.fields = problem.fields ?? [];
  }
}

const UNREACHED = { reason: "UNREACHED", message: "The server does not answer. It may have ended, or be starting anew." };

export async function read(path) {
  return (await answered(path, {})).json();
}

// Ask, and give the answer. `signal` stops it, here and in the server.
export async function ask(path, question, signal) {
  return (await asked(path, question, signal)).json();
}

// Ask, and give each line of the answer as it comes.
export async function* lines(path, question, signal) {
  const response = await asked(path, question, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await received(reader);
    const parts = (rest + (value ?? "")).split("\n");
    rest = parts.pop();
    for (const part of parts) yield JSON.parse(part);
    if (done) return;
  }
}

function asked(path, question, signal) {
  const headers = { "Content-Type": "application/json" };
  return answered(path, { method: "POST", headers, body: JSON.stringify(question), signal });
}

async function answered(path, options) {
  let response;
  try {
    response = await fetch(path, { cache: "no-store", ...options });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Problem(UNREACHED);
  }
  if (response.ok) return response;
  throw new Problem(await problemOf(response));
}

async function problemOf(response) {
  try {
    return (await response.json()).error;
  } catch {
    return { reason: `HTTP ${response.status}`, message: "The server gave no reason." };
  }
}

async function received(reader) {
  try {
    return await reader.read();
  } catch (error) {
    throw error.name === "AbortError" ? error : new Problem(UNREACHED);
  }
}
