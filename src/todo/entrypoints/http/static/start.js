const ui = SwaggerUIBundle({
  url: new URL("../openapi.json", document.currentScript.src).href,
  dom_id: "#swagger-ui",
  deepLinking: true,
  persistAuthorization: false,
  validatorUrl: null,
  onComplete: () => opener?.postMessage("token?", location.origin), // the web page, if that opened this one
});

addEventListener("message", ({ origin, source, data }) => {
  if (origin === location.origin && source === opener && data.token) ui.preauthorizeApiKey("bearer", data.token);
});
