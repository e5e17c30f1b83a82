// The dashboard: logging in, and which view is shown. Views have `element`, `title` and `close()`.

import { ask, Refusal } from './api.js';
import { make, say } from './element.js';
import { JobView } from './job.js';
import { JobsView } from './jobs.js';

const NOTICE_FOR_MS = 6000;
const at = (id) => document.getElementById(id);
let view = null;

const page = {
  /** Do something with the server; false when it failed, which the page has said by then. */
  async attempt(task) {
    try {
      await task();
      say(at('connection'), '');
      return true;
    } catch (failure) {
      if (!(failure instanceof Refusal)) throw failure;
      if (failure.status === 401) enter(null);
      else if (failure.status === 0) say(at('connection'), 'No connection. Trying again.');
      else if (failure.status >= 500) say(at('connection'), 'The server has a problem. Trying again.');
      else page.notify(failure.message);
      return false;
    }
  },
  notify(text) {
    const notice = make('p', {}, text);
    at('notices').append(notice);
    setTimeout(() => notice.remove(), NOTICE_FOR_MS);
  },
};

function show() {
  view?.close();
  const [, jobId] = location.hash.match(/^#job\/([0-9a-f]{1,64})$/) ?? [];
  view = jobId ? new JobView(page, jobId) : new JobsView(page);
  document.title = `${view.title} · mixworker`;
  at('view').replaceChildren(view.element);
  scrollTo(0, 0);
}

/** Show the inside to *account*, and the entrance to nobody. */
function enter(account) {
  view?.close();
  view = null;
  at('entrance').hidden = account !== null;
  at('bar').hidden = at('view').hidden = account === null;
  if (account === null) {
    at('view').replaceChildren();
    document.title = 'Log in · mixworker';
    at(at('name').value ? 'password' : 'name').focus();
  } else {
    at('account').textContent = account;
    show();
  }
}

async function logIn() {
  const name = at('name').value.trim();
  const password = at('password').value;
  say(at('login-problem'), '');
  if (!name || !password) {
    say(at('login-problem'), 'Account and password, please.');
    at(name ? 'password' : 'name').focus();
    return;
  }
  const button = at('login').querySelector('button');
  button.disabled = true;
  try {
    const { account } = await ask('POST', 'session', { name, password });
    at('login').reset();
    enter(account);
    at('view').focus();
  } catch (failure) {
    if (!(failure instanceof Refusal)) throw failure;
    say(at('login-problem'), failure.message);
    at('password').select();
  } finally {
    button.disabled = false;
  }
}

at('login').addEventListener('submit', (event) => {
  event.preventDefault();
  logIn();
});
at('log-out').addEventListener('click', async () => {
  if (await page.attempt(() => ask('DELETE', 'session'))) enter(null);
});
addEventListener('hashchange', () => {
  if (view === null) return;
  show();
  at('view').focus();
});

try {
  enter((await ask('GET', 'session')).account);
} catch (failure) {
  enter(null);
  if (failure.status !== 401) say(at('login-problem'), failure.message);
}
