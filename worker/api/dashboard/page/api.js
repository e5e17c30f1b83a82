// What the page asks of the server. Failures are `Refusal`s whose message is for people.

const WITHIN_MS = 15000;

export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    /** HTTP status; 0 when there was no answer. */
    this.status = status;
  }
}

/** The JSON of the answer, null without any. */
export async function ask(method, path, body) {
  const headers = { 'X-Dashboard': '1' };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  let response;
  let answer;
  try {
    response = await fetch(`dashboard/api/${path}`, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: 'no-store',
      signal: AbortSignal.timeout(WITHIN_MS),
    });
    answer = response.status === 204 ? null : await response.json();
  } catch {
    throw new Refusal(response?.status ?? 0, 'The server does not answer.');
  }
  if (response.ok) return answer;
  const wait = response.headers.get('Retry-After');
  if (response.status === 429) {
    throw new Refusal(429, `Too many attempts. Try again in ${wait ?? 'a few'} seconds.`);
  }
  throw new Refusal(response.status, answer.error_msg ?? `The server answered ${response.status}.`);
}

/** Ask again and again, the answer's time not counted, while the page is looked at; until closed. */
export class Polling {
  #task;
  #everyMs;
  #timer = 0;
  #closed = false;
  #busy = false;
  #look = () => {
    if (!document.hidden) this.now();
  };

  constructor(task, everyMs) {
    this.#task = task;
    this.#everyMs = everyMs;
    document.addEventListener('visibilitychange', this.#look);
    this.now();
  }

  async now() {
    clearTimeout(this.#timer);
    if (this.#busy || this.#closed) return;
    this.#busy = true;
    await this.#task();
    this.#busy = false;
    if (this.#closed || document.hidden) return;
    this.#timer = setTimeout(() => this.now(), this.#everyMs);
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    document.removeEventListener('visibilitychange', this.#look);
  }
}
