/** The screen that nobody needs before they join; it is loaded while they look at the one before. */
export const loadMeeting = () => import('./Meeting.svelte');
