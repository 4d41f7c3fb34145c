// The web page's token comes in the fragment, which leaves the address bar at once.
const token = new URLSearchParams(location.hash.slice(1)).get("token");
if (token !== null) history.replaceState(null, "", location.pathname);

const ui = SwaggerUIBundle({
  url: new URL("../openapi.json", document.currentScript.src).href,
  dom_id: "#swagger-ui",
  deepLinking: true,
  persistAuthorization: false,
  validatorUrl: null,
  onComplete: () => token !== null && ui.preauthorizeApiKey("bearer", token),
});
