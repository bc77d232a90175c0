/** Puts the parts together: the only file that knows all layers. */

import { mount } from 'svelte';
import { apiClient } from './api/client';
import { browserPorts } from './browser';
import { browserKeys } from './e2ee';
import { preferredLanguage, setLanguage } from './i18n';
import { browserDevices, browserSounds, liveKitRtc } from './rtc';
import { AppModel } from './state/app';
import App from './ui/App.svelte';
import { loadMeeting } from './ui/screens';
import { showTheme } from './ui/theme';
import './ui/styles/tokens.css';
import './ui/styles/base.css';
import './ui/styles/tints.css';

await setLanguage(preferredLanguage());

const devices = browserDevices();
const app = new AppModel(
  browserPorts({
    api: apiClient(),
    rtc: liveKitRtc(),
    keys: browserKeys(),
    devices,
    sounds: browserSounds(),
    loadMeeting,
  }),
);
app.options.view.subscribe(({ theme }) => showTheme(theme));
const target = document.getElementById('app');
if (target) {
  target.replaceChildren();
  mount(App, { target, props: { app, canChooseSpeaker: devices.canChooseSpeaker() } });
}
