/** One scene in the whole window, or the list of all with every component: `/?scene=meeting-4&theme=dark&lang=de`. */

import { mount, tick } from 'svelte';
import en from '../locales/en.json';
import { LANGUAGES, setLanguage, speak, t } from '../src/i18n';
import App from '../src/ui/App.svelte';
import { showTheme } from '../src/ui/theme';
import '../src/ui/styles/tokens.css';
import '../src/ui/styles/base.css';
import '../src/ui/styles/tints.css';
import './gallery.css';
import { World } from '../scripted/world';
import { there } from './acts';
import type { MeetingModel } from '../src/state/meeting';
import Index from './Index.svelte';
import type { SceneName } from './names';
import { drawPlain } from './pictures';
import { pseudoMessages } from './pseudo';
import { SCENES, type Scene } from './scenes';
import { settled } from './settled';

/** 25 November 2026, 9:55 in Berlin. */
const BEGIN = Date.UTC(2026, 10, 25, 8, 55);

const query = new URLSearchParams(location.search);
if (query.has('plain')) drawPlain();

async function chooseLanguage(): Promise<void> {
  const wanted = query.get('lang') ?? 'de';
  if (wanted === 'pseudo') speak('en', pseudoMessages(en));
  else await setLanguage(LANGUAGES.find((language) => language === wanted) ?? 'en');
}

function worldOfScenes(theme: string | null): World {
  const world = new World();
  world.clock.time = BEGIN;
  let byte = 0;
  world.ports.random = (count) => Uint8Array.from({ length: count }, () => (byte = (byte * 5 + 89) % 256));
  world.ports.words = ({ key, args }) => t.get()(key, args);
  if (theme) world.local.set('konklave.theme', theme);
  return world;
}

async function play(scene: Scene, target: HTMLElement): Promise<void> {
  const world = worldOfScenes(query.get('theme'));
  const app = await scene.make(world);
  app.options.view.subscribe(({ theme }) => showTheme(theme));
  mount(App, { target, props: { app, canChooseSpeaker: true } });
  await tick();
  // The meeting is a part of its own, which is still being loaded.
  if (app.screen.get().kind === 'meeting') await there('[data-testid="meeting"]');
  await scene.act?.();
}

async function meetingOf(name: SceneName): Promise<MeetingModel> {
  const screen = (await SCENES[name].make(worldOfScenes(null))).screen.get();
  if (screen.kind !== 'meeting') throw new Error(`${name} is no meeting`);
  return screen.model;
}

async function meetingsOfList() {
  return {
    tiles: await meetingOf('meeting-9'),
    share: await meetingOf('share'),
    weak: await meetingOf('weak'),
    toast: await meetingOf('toast'),
    warning: await meetingOf('toast-warn'),
    reconnecting: await meetingOf('reconnecting'),
  };
}

async function list(target: HTMLElement): Promise<void> {
  // One of each per theme: a stage has one size.
  const meetings = { light: await meetingsOfList(), dark: await meetingsOfList() };
  mount(Index, { target, props: { query, meetings } });
}

await chooseLanguage();
const target = document.getElementById('app');
const name = query.get('scene');
const scene = (SCENES as Record<string, Scene>)[name ?? ''];
if (target && scene) await play(scene, target);
else if (target) await list(target);

/** Says for which size of the window the page has come to rest. */
async function rest(): Promise<void> {
  await settled();
  document.documentElement.dataset.ready = `${innerWidth}x${innerHeight}`;
}
addEventListener('resize', () => void rest());
await rest();
